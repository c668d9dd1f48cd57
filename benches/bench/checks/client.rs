//! A client of the API that costs next to nothing: one kept connection, requests as they are written,
//! and of an answer only its status and its end.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::Context as _;

const ANSWER_MAX: usize = 64 * 1024;

/// A connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; ANSWER_MAX] })
    }

    /// The body of the answer. Errors: any status but 200 and 201.
    pub fn ask(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.stream.write_all(request)?;
        let (mut filled, mut whole) = (0, None);
        while whole.is_none_or(|(_, end)| filled < end) {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            anyhow::ensure!(read > 0, "the connection was closed");
            filled += read;
            whole = whole.or(head(&self.buffer[..filled])?);
        }
        let (from, end) = whole.context("no head")?;
        let (status, answer) = (&self.buffer[9..12], &self.buffer[..end]);
        anyhow::ensure!(matches!(status, b"200" | b"201"), "{}", String::from_utf8_lossy(answer));
        Ok(&self.buffer[from..end])
    }
}

/// Where the body begins and ends, once the head is there.
fn head(answer: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..end])?;
    let lengths = text.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = lengths.next().context("no content-length")?.1.trim().parse()?;
    Ok(Some((end + 4, end + 4 + length)))
}

/// A request as it goes over the wire.
pub fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: tollgate\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
