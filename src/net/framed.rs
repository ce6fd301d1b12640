//! A connection that is still being set up: whole frames of bounded size, one by one.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Stream;
use crate::wire::frame::{Frame, FrameError, HEADER};

/// Room made for each read, in bytes. Whatever comes with a frame stays in the buffer.
const READ: usize = 2_048;

/// A stream and the bytes read from it beyond the last frame. For start-up only: it copies, and keeps its buffer.
#[derive(Debug)]
pub struct Framed {
    stream: Stream,
    buffer: Vec<u8>,
}

/// Why there is no frame.
#[derive(Debug)]
pub enum FramedError {
    /// The peer closed the connection, or it broke.
    Gone(io::Error),
    /// The header lies, or the frame is longer than the limit given.
    Length,
}

impl From<io::Error> for FramedError {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl Framed {
    pub fn new(stream: Stream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// What was read and not taken yet.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Waits until at least `count` bytes are here.
    ///
    /// # Errors
    /// `UnexpectedEof` if the peer closes before; else the socket's.
    pub async fn fill(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.buffer.len() < count {
            self.buffer.reserve(READ.max(count - self.buffer.len()));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.get(..count).unwrap_or_default())
    }

    /// Takes the next `count` bytes.
    ///
    /// # Errors
    /// As `fill`.
    pub async fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.fill(count).await?;
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// The next frame's tag and body; no longer than `limit` bytes.
    ///
    /// # Errors
    /// See `FramedError`.
    pub async fn frame(&mut self, limit: usize) -> Result<(u8, Vec<u8>), FramedError> {
        let frame = match Frame::parse(self.fill(HEADER).await?) {
            Ok(Some(frame)) if frame.len <= limit + HEADER => frame,
            Ok(_) | Err(FrameError::Length(_)) => return Err(FramedError::Length),
        };
        let mut bytes = self.take(frame.len).await?;
        Ok((frame.tag, bytes.split_off(HEADER)))
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// The socket's.
    pub async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Closes our half: what was said arrives, then the end.
    pub async fn close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Puts TLS on the stream, as its server. What was read already belongs to the handshake.
    ///
    /// # Errors
    /// The handshake's; the stream is gone then.
    pub async fn start_tls(&mut self, tls: &super::tls::ServerTls) -> io::Result<()> {
        let stream = std::mem::replace(&mut self.stream, Stream::gone());
        self.stream = tls.accept(stream, std::mem::take(&mut self.buffer)).await?;
        Ok(())
    }

    /// The stream, and what was read from it beyond.
    pub fn into_parts(self) -> (Stream, Vec<u8>) {
        // Nearly always nothing: then no memory is held for it.
        (self.stream, if self.buffer.is_empty() { Vec::new() } else { self.buffer })
    }
}
