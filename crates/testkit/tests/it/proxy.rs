//! Every way to break a link, seen from its two ends.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use kvstore_testkit::{Direction, Flow, Proxy, wait_until};

/// Long enough for whatever should come.
const DEADLINE: Duration = Duration::from_secs(20);
/// Long enough to see that something does not come.
const SILENCE: Duration = Duration::from_millis(200);

/// A server that sends back what it is sent, and a link to it.
fn echo() -> Proxy {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut piece = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut piece) {
                    let bytes = piece.get(..read).expect("what was read");
                    if stream.write_all(bytes).is_err() {
                        return;
                    }
                }
                stream.write_all(b"bye").ok();
            });
        }
    });
    Proxy::start(port).expect("a proxy")
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port())).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    stream
}

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("the text goes out");
}

#[track_caller]
fn hears(stream: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    stream.read_exact(&mut heard).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

#[track_caller]
fn hears_nothing(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SILENCE)).expect("a time-out");
    let heard = stream.read(&mut [0; 16]).expect_err("nothing should come").kind();
    assert!(matches!(heard, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{heard:?}");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
}

/// The connection ended, in order or not.
#[track_caller]
fn is_cut(stream: &mut TcpStream) {
    let read = stream.read(&mut [0; 16]);
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert!(!matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "it is silent, and not cut");
}

#[test]
fn bytes_pass_and_so_does_their_end() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    say(&mut stream, "hello");
    hears(&mut stream, "hello");
    stream.shutdown(Shutdown::Write).expect("an end");
    hears(&mut stream, "bye");
    is_cut(&mut stream);
    assert_eq!(proxy.accepted(), 1);
    wait_until("the end of the connection", DEADLINE, || Ok(proxy.open() == 0)).expect("it ends");
}

#[test]
fn a_cut_ends_what_is_open_and_takes_what_comes() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    say(&mut stream, "1");
    hears(&mut stream, "1");
    proxy.cut();
    is_cut(&mut stream);
    let mut stream = connect(&proxy);
    say(&mut stream, "2");
    hears(&mut stream, "2");
}

#[test]
fn a_link_that_refuses_closes_every_connection_until_it_is_healed() {
    let proxy = echo();
    proxy.refuse();
    is_cut(&mut connect(&proxy));
    is_cut(&mut connect(&proxy));
    proxy.heal();
    let mut stream = connect(&proxy);
    say(&mut stream, "1");
    hears(&mut stream, "1");
}

#[test]
fn what_is_held_arrives_when_the_link_is_well_again() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let proxy = echo();
        let mut stream = connect(&proxy);
        proxy.set(direction, Flow::Hold);
        say(&mut stream, "1");
        hears_nothing(&mut stream);
        proxy.heal();
        hears(&mut stream, "1");
    }
}

#[test]
fn what_is_delayed_arrives_later() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    proxy.set_both(Flow::Delay(SILENCE));
    let began = Instant::now();
    say(&mut stream, "1");
    hears(&mut stream, "1");
    assert!(began.elapsed() >= SILENCE * 2, "it came after {:?}", began.elapsed());
}

#[test]
fn an_answer_can_be_lost_after_the_request_has_arrived() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let proxy = Proxy::start(listener.local_addr().expect("an address").port()).expect("a proxy");
    let mut client = connect(&proxy);
    let (mut server, _) = listener.accept().expect("a connection");
    proxy.set(Direction::ToClient, Flow::CutAtNext);
    say(&mut client, "do it");
    hears(&mut server, "do it");
    say(&mut server, "done");
    is_cut(&mut client);
    server.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    is_cut(&mut server);
}

#[test]
fn one_direction_can_be_closed_while_the_other_goes_on() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let proxy = Proxy::start(listener.local_addr().expect("an address").port()).expect("a proxy");
    let mut client = connect(&proxy);
    let (mut server, _) = listener.accept().expect("a connection");
    say(&mut client, "1");
    hears(&mut server, "1");
    proxy.half_close(Direction::ToServer);
    server.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    is_cut(&mut server);
    say(&mut server, "still here");
    hears(&mut client, "still here");
}
