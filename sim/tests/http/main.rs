//! The simulated host over real HTTP, from a client's side.

mod load;
mod routes;
mod support;
