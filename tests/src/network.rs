//! A network between a peer and its coordinator, that a test can cut, stall and restore.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What becomes of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They arrive.
    Flows,
    /// They are held, and nobody is told.
    Stalls,
    /// Connections are closed, and new ones at once.
    IsCut,
}

struct State {
    mode: Mode,
    to: String,
    ends: Vec<TcpStream>,
    over: bool,
}

#[derive(Clone)]
struct Shared(Arc<(Mutex<State>, Condvar)>);

/// A network to one address.
pub struct Network {
    /// Where it is entered.
    pub addr: String,
    shared: Shared,
}

impl Network {
    /// A network that flows.
    pub fn to(addr: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let state = State { mode: Mode::Flows, to: addr.to_owned(), ends: Vec::new(), over: false };
        let shared = Shared(Arc::new((Mutex::new(state), Condvar::new())));
        let network =
            Self { addr: listener.local_addr().expect("bound").to_string(), shared: shared.clone() };
        std::thread::spawn(move || {
            for entered in listener.incoming().map_while(Result::ok) {
                if shared.state().over {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || shared.carry(entered));
            }
        });
        network
    }

    /// Closes all connections, and from now on each new one.
    pub fn cut(&self) {
        self.shared.turn(Mode::IsCut);
    }

    /// Lets nothing through from now on; connections stay.
    pub fn stall(&self) {
        self.shared.turn(Mode::Stalls);
    }

    /// Lets everything through again, what was held first.
    pub fn restore(&self) {
        self.shared.turn(Mode::Flows);
    }

    /// Leads new connections to another address.
    pub fn redirect(&self, addr: &str) {
        addr.clone_into(&mut self.shared.state().to);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.cut();
        // Wakes whoever waits for connections.
        let _ = TcpStream::connect(&self.addr);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().expect("no panics")
    }

    fn turn(&self, mode: Mode) {
        let mut state = self.state();
        state.mode = mode;
        if mode == Mode::IsCut {
            for end in state.ends.drain(..) {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
        self.0.1.notify_all();
    }

    /// Waits while the network stalls; `None` when it is cut.
    fn flowing(&self) -> Option<MutexGuard<'_, State>> {
        let stalls = |state: &mut State| state.mode == Mode::Stalls;
        let state = self.0.1.wait_while(self.state(), stalls).expect("no panics");
        (state.mode == Mode::Flows).then_some(state)
    }

    fn carry(&self, near: TcpStream) {
        let Some(mut state) = self.flowing() else { return };
        let Ok(far) = TcpStream::connect(&state.to) else { return };
        for end in [&near, &far] {
            let _ = end.set_nodelay(true);
            state.ends.push(end.try_clone().expect("a descriptor"));
        }
        drop(state);
        let (there, back) = (self.clone(), self.clone());
        let ends = [near.try_clone().expect("a descriptor"), far.try_clone().expect("a descriptor")];
        let out = std::thread::spawn(move || there.pump(near, far));
        let [near, far] = ends;
        back.pump(far, near);
        let _ = out.join();
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 16 << 10];
        while let Ok(n) = from.read(&mut bytes) {
            let Some(state) = self.flowing() else { break };
            drop(state);
            if n == 0 || to.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Read);
        let _ = to.shutdown(Shutdown::Write);
    }
}
