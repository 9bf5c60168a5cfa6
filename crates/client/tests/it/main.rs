//! What the client makes of answers, given by a server that says what the test tells it to.

mod outcomes;
mod paths;
mod scripted;
