//! A server on loopback with prepared answers, one for each connection, which records its requests.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came over the wire.
#[derive(Debug)]
pub(crate) struct Request {
    /// The request line and the headers, in lower case.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

/// A server and what it will have been asked.
pub(crate) struct Server {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    requests: JoinHandle<Vec<Request>>,
}

impl Server {
    /// Starts a server that gives these answers, whole, in order. An empty one cuts the connection.
    pub(crate) async fn start(answers: Vec<String>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                requests.push(read(&mut stream).await);
                stream.write_all(answer.as_bytes()).await.expect("written");
            }
            requests
        });
        Server { url, requests }
    }

    /// Returns what it was asked, after its last answer.
    pub(crate) async fn requests(self) -> Vec<Request> {
        self.requests.await.expect("the server ends")
    }
}

/// Returns an answer with this status, further headers (each with its line end) and body.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Reason\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

async fn read(stream: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Request { head, body: body.to_owned() };
            }
        }
        let mut part = [0; 16_384];
        let read = stream.read(&mut part).await.expect("read");
        assert!(read > 0, "the client hung up");
        bytes.extend_from_slice(&part[..read]);
    }
}
