//! A server that gives the answers of a script, in turn, and keeps what it was asked.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// One answer, or none.
#[derive(Clone)]
pub(crate) enum Step {
    /// Status line and headers as text, and a body.
    Answer { head: String, body: String },
    /// Read the request, and close.
    Close,
}

pub(crate) fn answer(status: &str, headers: &[&str], body: &str) -> Step {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    Step::Answer { head: head + "\r\n", body: body.into() }
}

pub(crate) fn problem(status: u16, more: &str) -> Step {
    let body = format!(r#"{{"type":"about:blank","title":"t","status":{status},"detail":"said so"{more}}}"#);
    answer(&format!("{status} X"), &["Content-Type: application/problem+json"], &body)
}

/// Serves each step to a connection of its own; the heads of the requests come out at the end.
pub(crate) async fn serve(steps: Vec<Step>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let served = tokio::spawn(async move {
        let mut heads = Vec::new();
        for step in steps {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            heads.push(read_request(&mut stream).await);
            if let Step::Answer { head, body } = step {
                stream.write_all(head.as_bytes()).await.expect("the head is sent");
                stream.write_all(body.as_bytes()).await.expect("the body is sent");
            }
        }
        heads
    });
    (url, served)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let read = stream.read_buf(&mut bytes).await.expect("a request");
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |text| text.parse().expect("a length"));
            if body.len() >= length || read == 0 {
                return head.to_owned();
            }
        }
        assert!(read > 0, "the request ended in its head");
    }
}
