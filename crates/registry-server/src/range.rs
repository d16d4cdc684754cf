//! The two range headers: `Range` of a download (RFC 9110 §14.2) and `Content-Range` of an upload's chunk (the
//! distribution specification's own form, `<start>-<end>` without a unit).

/// The part of a blob that a download asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// No range, or one that RFC 9110 lets a server ignore (several ranges, another unit, malformed).
    All,
    /// From `start`, `length` bytes, at least one.
    Part { start: u64, length: u64 },
    /// Outside of the content.
    Unsatisfiable,
}

impl Wanted {
    pub(crate) fn parse(header: Option<&str>, size: u64) -> Self {
        let Some((first, last)) = header
            .and_then(|header| header.trim().strip_prefix("bytes="))
            .and_then(|range| range.split_once('-'))
        else {
            return Self::All;
        };
        let (start, end) = match (first.trim(), last.trim()) {
            ("", suffix) => match suffix.parse::<u64>() {
                Ok(0) => return Self::Unsatisfiable,
                Ok(suffix) => (size.saturating_sub(suffix), size),
                Err(_) => return Self::All,
            },
            (start, "") => match start.parse::<u64>() {
                Ok(start) => (start, size),
                Err(_) => return Self::All,
            },
            (start, end) => match (start.parse::<u64>(), end.parse::<u64>()) {
                (Ok(start), Ok(end)) if start <= end => (start, end.saturating_add(1).min(size)),
                _ => return Self::All,
            },
        };
        match end.checked_sub(start) {
            Some(length) if length > 0 => Self::Part { start, length },
            _ => Self::Unsatisfiable,
        }
    }
}

/// Where a chunk says that it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkRange {
    pub(crate) start: u64,
    pub(crate) length: u64,
}

impl ChunkRange {
    /// Reads `<start>-<end>`, both inclusive; `bytes <start>-<end>/<total>` is taken too, as some clients write it.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let range = header.trim();
        let range = range
            .strip_prefix("bytes")
            .unwrap_or(range)
            .trim_start_matches(['=', ' ']);
        let range = range.split('/').next().unwrap_or(range);
        let (start, end) = range.split_once('-')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(start) || !digits(end) {
            return None;
        }
        let (start, end) = (start.parse::<u64>().ok()?, end.parse::<u64>().ok()?);
        let length = end.checked_sub(start)?.checked_add(1)?;
        Some(Self { start, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn download_ranges() {
        let part = |start, length| Wanted::Part { start, length };
        for (header, wanted) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=2-5", part(2, 4)),
            ("bytes=2-", part(2, 8)),
            ("bytes=2-99", part(2, 8)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-99", part(0, 10)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=10-12", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=5-2", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=x-1", Wanted::All),
            ("lines=0-1", Wanted::All),
        ] {
            assert_eq!(Wanted::parse(Some(header), 10), wanted, "{header}");
        }
        assert_eq!(Wanted::parse(None, 10), Wanted::All);
        assert_eq!(Wanted::parse(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn chunk_ranges() {
        let chunk = |start, length| Some(ChunkRange { start, length });
        for (header, range) in [
            ("0-9", chunk(0, 10)),
            ("10-10", chunk(10, 1)),
            ("bytes 0-9/20", chunk(0, 10)),
            ("bytes=0-9", chunk(0, 10)),
            ("9-0", None),
            ("0", None),
            ("-5", None),
            ("+1-5", None),
            ("0-18446744073709551615", None),
            ("", None),
        ] {
            assert_eq!(ChunkRange::parse(header), range, "{header}");
        }
    }
}
