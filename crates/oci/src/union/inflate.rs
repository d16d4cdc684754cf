//! A layer's blob, read, verified and inflated on a thread of its own; the tar comes out in chunks.
//!
//! gzip framing (RFC 1952) is read here rather than by a library, so that several members, as estargz writes, cost no
//! allocation each, and truncation, corruption and trailing bytes are told apart.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use flate2::{Decompress, FlushDecompress, Status};
use proofmark_types::{Digest, DigestAlgorithm, Hasher};
use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use super::Limits;
use super::error::LayerError;
use crate::descriptor::Descriptor;

/// The bytes of one chunk: large enough that handing over costs nothing, small enough for the cache.
const CHUNK: usize = 256 * 1024;

/// How many chunks the inflating thread may be ahead.
const AHEAD: usize = 8;

/// The bytes read of a blob at once.
const BLOCK: usize = 128 * 1024;

/// RFC 1952, 2.2: the fields are of any length; the longest seen (estargz's extra field) have under 100 bytes.
const MAX_GZIP_HEADER: usize = 64 * 1024;

/// The largest zstd window, 2 to this power: what zstd's own decoder accepts unasked, and what `--long` uses.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// RFC 8878, 3.1.2: the last three bytes; the first is 0x50 to 0x5f.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Makes the two ends between the inflating thread and the reading one. `already` bytes have been inflated of other
/// layers.
pub(super) fn pipe(limits: &Limits, already: u64) -> (Outlet, Inlet) {
    let (full, chunks) = sync_channel(AHEAD);
    let (back, empty) = channel();
    let outlet = Outlet {
        full,
        empty,
        buffer: vec![0; CHUNK],
        filled: 0,
        inflated: 0,
        already,
        limits: limits.clone(),
    };
    (outlet, Inlet { chunks, back })
}

/// Reads, verifies and inflates a blob into `outlet`. Whatever else is wrong, a blob that is not what its descriptor
/// says is told as that.
pub(super) fn inflate(
    source: Box<dyn Read + Send + '_>,
    descriptor: &Descriptor,
    mut outlet: Outlet,
) -> Result<(), LayerError> {
    let mut blob = Blob::new(source, descriptor);
    match unpack(&mut blob, &mut outlet) {
        Ok(()) => {
            outlet.end();
            blob.verify()
        }
        Err(Fault::HungUp) => {
            drop(outlet);
            blob.verify()
        }
        Err(Fault::Layer(
            error @ (LayerError::Read(_)
            | LayerError::Size { .. }
            | LayerError::Bomb { .. }
            | LayerError::InflatedTooLarge { .. }),
        )) => Err(error),
        Err(Fault::Layer(error)) => {
            drop(outlet);
            blob.verify()?;
            Err(error)
        }
    }
}

fn unpack(blob: &mut Blob<'_>, outlet: &mut Outlet) -> Result<(), Fault> {
    let start = blob.peek(4)?;
    if start.starts_with(&GZIP) {
        gunzip(blob, outlet)
    } else if is_zstd(start) {
        unzstd(blob, outlet)
    } else {
        copy(blob, outlet)
    }
}

fn copy(blob: &mut Blob<'_>, outlet: &mut Outlet) -> Result<(), Fault> {
    loop {
        let bytes = blob.fill()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len().min(outlet.space().len());
        if let (Some(to), Some(from)) = (outlet.space().get_mut(..length), bytes.get(..length)) {
            to.copy_from_slice(from);
        }
        blob.consume(length);
        outlet.commit(length, blob.consumed)?;
    }
}

fn gunzip(blob: &mut Blob<'_>, outlet: &mut Outlet) -> Result<(), Fault> {
    let mut state = Decompress::new(false);
    loop {
        gzip_header(blob)?;
        state.reset(false);
        let (crc, length) = gzip_body(blob, outlet, &mut state)?;
        let trailer = |blob: &mut Blob<'_>| -> Result<u32, Fault> {
            let mut field = [0; 4];
            blob.read_exact(&mut field, "gzip")?;
            Ok(u32::from_le_bytes(field))
        };
        if trailer(blob)? != crc {
            return Err(corrupt("gzip", "the CRC of the content does not match"));
        }
        if trailer(blob)? != length {
            return Err(corrupt("gzip", "the length of the content does not match"));
        }
        match blob.peek(2)? {
            [] => return Ok(()),
            next if next.starts_with(&GZIP) => {}
            _ => return Err(LayerError::TrailingData { after: "gzip data" }.into()),
        }
    }
}

/// RFC 1952, 2.3.
fn gzip_header(blob: &mut Blob<'_>) -> Result<(), Fault> {
    let mut fixed = [0; 10];
    blob.read_exact(&mut fixed, "gzip")?;
    let [_, _, method, flags, ..] = fixed;
    if method != 8 {
        return Err(corrupt("gzip", "the compression method is not deflate"));
    }
    if flags & 0b1110_0000 != 0 {
        return Err(corrupt("gzip", "a reserved flag is set"));
    }
    if flags & 0b100 != 0 {
        let mut length = [0; 2];
        blob.read_exact(&mut length, "gzip")?;
        for _ in 0..u16::from_le_bytes(length) {
            blob.byte("gzip")?;
        }
    }
    for present in [flags & 0b1000 != 0, flags & 0b1_0000 != 0] {
        let mut length = 0;
        while present && blob.byte("gzip")? != 0 {
            length += 1;
            if length > MAX_GZIP_HEADER {
                return Err(corrupt("gzip", "the header does not end"));
            }
        }
    }
    if flags & 0b10 != 0 {
        let mut crc = [0; 2];
        blob.read_exact(&mut crc, "gzip")?;
    }
    Ok(())
}

/// Inflates one member; returns its CRC and its length modulo 2^32.
fn gzip_body(blob: &mut Blob<'_>, outlet: &mut Outlet, state: &mut Decompress) -> Result<(u32, u32), Fault> {
    // Without vector instructions, as zlib-rs has it, this took 6 % of the time of a whole bill.
    let mut crc = crc32fast::Hasher::new();
    loop {
        let input = blob.fill()?;
        let at_end = input.is_empty();
        let (read, written) = (state.total_in(), state.total_out());
        let status = state
            .decompress(input, outlet.space(), FlushDecompress::None)
            .map_err(|e| corrupt("gzip", &e.to_string()))?;
        let read = length_of(state.total_in() - read);
        let written = length_of(state.total_out() - written);
        crc.update(outlet.space().get(..written).unwrap_or_default());
        blob.consume(read);
        outlet.commit(written, blob.consumed)?;
        match status {
            Status::StreamEnd => {
                let low = state.total_out() & u64::from(u32::MAX);
                return Ok((crc.finalize(), u32::try_from(low).unwrap_or_default()));
            }
            Status::Ok | Status::BufError if read == 0 && written == 0 => {
                return Err(if at_end {
                    LayerError::Truncated { within: "gzip data" }.into()
                } else {
                    corrupt("gzip", "inflating makes no progress")
                });
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

/// RFC 8878: frames, one after the other, some of them skippable.
fn unzstd(blob: &mut Blob<'_>, outlet: &mut Outlet) -> Result<(), Fault> {
    let failed = |e: io::Error| corrupt("zstd", &e.to_string());
    let mut state = Decoder::new().map_err(failed)?;
    state
        .set_parameter(DParameter::WindowLogMax(MAX_ZSTD_WINDOW_LOG))
        .map_err(failed)?;
    loop {
        let input = blob.fill()?;
        let at_end = input.is_empty();
        let status = state.run_on_buffers(input, outlet.space()).map_err(failed)?;
        blob.consume(status.bytes_read);
        outlet.commit(status.bytes_written, blob.consumed)?;
        if status.remaining == 0 {
            match blob.peek(4)? {
                [] => return Ok(()),
                next if is_zstd(next) => {}
                _ => return Err(LayerError::TrailingData { after: "zstd data" }.into()),
            }
        } else if at_end && status.bytes_written == 0 {
            return Err(LayerError::Truncated { within: "zstd data" }.into());
        }
    }
}

fn is_zstd(start: &[u8]) -> bool {
    start == ZSTD || matches!(start, [first, rest @ ..] if first & 0xf0 == 0x50 && rest == ZSTD_SKIPPABLE)
}

fn corrupt(format: &'static str, reason: &str) -> Fault {
    Fault::Layer(LayerError::Corrupt {
        format,
        reason: reason.to_owned(),
    })
}

/// Lengths within one buffer.
fn length_of(difference: u64) -> usize {
    usize::try_from(difference).unwrap_or(usize::MAX)
}

/// Why inflating stops early.
enum Fault {
    /// The reading side has found a fault of its own.
    HungUp,
    /// The layer is at fault.
    Layer(LayerError),
}

impl From<LayerError> for Fault {
    fn from(error: LayerError) -> Self {
        Self::Layer(error)
    }
}

/// The compressed bytes, counted and hashed.
struct Blob<'s> {
    source: Box<dyn Read + Send + 's>,
    descriptor: &'s Descriptor,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    received: u64,
    consumed: u64,
    hasher: Hasher,
}

impl<'s> Blob<'s> {
    fn new(source: Box<dyn Read + Send + 's>, descriptor: &'s Descriptor) -> Self {
        Self {
            source,
            descriptor,
            buffer: vec![0; BLOCK],
            start: 0,
            end: 0,
            received: 0,
            consumed: 0,
            hasher: Hasher::new(descriptor.digest.algorithm()),
        }
    }

    /// The bytes at hand, after reading some if there are none; empty at the end.
    fn fill(&mut self) -> Result<&[u8], LayerError> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.receive()?;
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    /// The next `length` bytes, or those that are left.
    fn peek(&mut self, length: usize) -> Result<&[u8], LayerError> {
        if self.end - self.start < length {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < length && self.receive()? > 0 {}
        }
        let until = self.end.min(self.start + length);
        Ok(self.buffer.get(self.start..until).unwrap_or_default())
    }

    fn consume(&mut self, length: usize) {
        let length = length.min(self.end - self.start);
        self.start += length;
        self.consumed += u64::try_from(length).unwrap_or(u64::MAX);
    }

    fn byte(&mut self, within: &'static str) -> Result<u8, LayerError> {
        let byte = self.fill()?.first().copied();
        self.consume(1);
        byte.ok_or(LayerError::Truncated { within })
    }

    fn read_exact(&mut self, into: &mut [u8], within: &'static str) -> Result<(), LayerError> {
        for byte in into {
            *byte = self.byte(within)?;
        }
        Ok(())
    }

    /// Reads behind what is at hand; hashes and counts it.
    fn receive(&mut self) -> Result<usize, LayerError> {
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
        let length = loop {
            match self.source.read(space) {
                Ok(length) => break length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerError::Read(error)),
            }
        };
        self.hasher.update(space.get(..length).unwrap_or_default());
        self.end += length;
        self.received += u64::try_from(length).unwrap_or(u64::MAX);
        if self.received > self.descriptor.size {
            return Err(self.wrong_size());
        }
        Ok(length)
    }

    /// Reads to the end and compares size and digest with the descriptor's.
    fn verify(mut self) -> Result<(), LayerError> {
        loop {
            let length = self.fill()?.len();
            if length == 0 {
                break;
            }
            self.consume(length);
        }
        if self.received != self.descriptor.size {
            return Err(self.wrong_size());
        }
        let seen = self.hasher.finish();
        if seen != self.descriptor.digest {
            return Err(LayerError::BlobDigest {
                expected: self.descriptor.digest.clone(),
                seen,
            });
        }
        Ok(())
    }

    fn wrong_size(&self) -> LayerError {
        LayerError::Size {
            expected: self.descriptor.size,
            seen: self.received,
        }
    }
}

/// Where the inflating thread puts the tar.
pub(super) struct Outlet {
    full: SyncSender<Piece>,
    empty: Receiver<Vec<u8>>,
    buffer: Vec<u8>,
    filled: usize,
    inflated: u64,
    already: u64,
    limits: Limits,
}

/// What goes from the inflating thread to the reading one. Without `End`, the stream was cut short.
enum Piece {
    Chunk(Vec<u8>),
    End,
}

impl Outlet {
    fn space(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.filled..).unwrap_or_default()
    }

    /// `length` bytes have been put into the space, after `compressed` bytes of the blob.
    fn commit(&mut self, length: usize, compressed: u64) -> Result<(), Fault> {
        self.filled += length;
        self.inflated += u64::try_from(length).unwrap_or(u64::MAX);
        if self.inflated > self.limits.inflated_free_bytes && self.inflated / self.limits.inflation > compressed {
            return Err(LayerError::Bomb {
                compressed,
                inflated: self.inflated,
                limit: self.limits.inflation,
            }
            .into());
        }
        if self.already.saturating_add(self.inflated) > self.limits.inflated_bytes {
            return Err(LayerError::InflatedTooLarge {
                limit: self.limits.inflated_bytes,
            }
            .into());
        }
        if self.filled == self.buffer.len() {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let mut next = self.empty.try_recv().unwrap_or_default();
        next.resize(CHUNK, 0);
        let mut chunk = std::mem::replace(&mut self.buffer, next);
        chunk.truncate(self.filled);
        self.filled = 0;
        self.full.send(Piece::Chunk(chunk)).map_err(|_| Fault::HungUp)
    }

    /// Sends what is left and the end; a reader that is gone has its own reasons.
    fn end(mut self) {
        if self.flush().is_ok() {
            let _ = self.full.send(Piece::End);
        }
    }
}

/// Where the reading thread takes the tar from.
pub(super) struct Inlet {
    chunks: Receiver<Piece>,
    back: Sender<Vec<u8>>,
}

/// The inflated tar, hashed and counted.
pub(super) struct Inflated {
    inlet: Inlet,
    chunk: Vec<u8>,
    start: usize,
    ended: bool,
    hasher: Hasher,
    count: u64,
}

impl Inflated {
    pub(super) fn new(inlet: Inlet, algorithm: DigestAlgorithm) -> Self {
        Self {
            inlet,
            chunk: Vec::new(),
            start: 0,
            ended: false,
            hasher: Hasher::new(algorithm),
            count: 0,
        }
    }

    /// The bytes at hand, after waiting for some if there are none; empty at the end.
    pub(super) fn fill(&mut self) -> Result<&[u8], LayerError> {
        while self.start >= self.chunk.len() && !self.ended {
            match self.inlet.chunks.recv() {
                Ok(Piece::Chunk(chunk)) => {
                    self.hasher.update(&chunk);
                    self.count += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                    let used = std::mem::replace(&mut self.chunk, chunk);
                    self.start = 0;
                    // The other side may be done and gone; then the buffer is not needed.
                    let _ = self.inlet.back.send(used);
                }
                Ok(Piece::End) => self.ended = true,
                // The reason is what the other thread returns.
                Err(_) => return Err(LayerError::Stopped),
            }
        }
        Ok(self.chunk.get(self.start..).unwrap_or_default())
    }

    pub(super) fn consume(&mut self, length: usize) {
        self.start = self.start.saturating_add(length).min(self.chunk.len());
    }

    /// The digest and length of what was taken; hangs up.
    pub(super) fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.count)
    }
}
