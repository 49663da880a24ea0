// A Node server: node_app.js PORT. Answers POST /generate with all that HTTP/1.1 allows around an answer, and appends
// "STATUS PORT ID" to REQUEST_LOG for each; PORT is the client's.
const fs = require("node:fs");
const http = require("node:http");

const log = fs.openSync(process.env.REQUEST_LOG, "a");

const server = http.createServer((request, response) => {
  if (request.method !== "POST") {
    response.writeHead(204).end();
    return;
  }
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const name = JSON.parse(Buffer.concat(parts)).request_id;
    fs.writeSync(log, `200 ${request.socket.remotePort} ${name}\n`);
    response.writeProcessing();
    response.writeEarlyHints({ link: "</images/1.png>; rel=preload; as=image" });
    // No length: the answer goes out in chunks.
    response.writeHead(200, { "Content-Type": "application/json; charset=utf-8", Trailer: "X-Took" });
    response.write('{"image_url":');
    setImmediate(() => {
      response.write('"/images/1.png"}');
      response.addTrailers({ "X-Took": "1ms" });
      response.end();
    });
  });
});
server.keepAliveTimeout = 1000;
server.listen(Number(process.argv[2]), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
