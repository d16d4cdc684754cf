//! The two messages of `FetchJWTSVID`, in gRPC's frame: `JWTSVIDRequest { repeated string audience = 1; }` and
//! `JWTSVIDResponse { repeated JWTSVID svids = 1; }` with `JWTSVID { string spiffe_id = 1; string svid = 2; }`.

/// The frame: not compressed, and the length in four bytes.
const FRAME: usize = 5;

/// Protobuf's kind for texts and messages.
const LENGTH_DELIMITED: u64 = 2;

/// The most bytes of a number (protobuf, "Base 128 Varints").
const MAX_VARINT: usize = 10;

pub(super) fn request(audience: &str) -> Vec<u8> {
    let mut message = vec![1 << 3 | 2];
    let mut length = audience.len();
    while length >= 0x80 {
        message.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap_or_default());
    message.extend_from_slice(audience.as_bytes());
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(message);
    frame
}

/// The token of the first identity, which is the one to use where a workload has several.
pub(super) fn first_token(frame: &[u8]) -> Result<String, &'static str> {
    let (head, message) = frame.split_at_checked(FRAME).ok_or("it is cut short")?;
    let (flag, length) = head.split_at(1);
    if flag != [0] {
        return Err("it is compressed, which was not asked for");
    }
    let length: [u8; 4] = length.try_into().map_err(|_| "it is cut short")?;
    if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        return Err("its length is not what it says");
    }
    let malformed = "it is no message of the workload API";
    let identity = field(message, 1).ok_or(malformed)?.ok_or("it has no identity")?;
    let token = field(identity, 2)
        .ok_or(malformed)?
        .ok_or("the identity has no token")?;
    String::from_utf8(token.to_vec()).map_err(|_| malformed)
}

/// The first field of this number that is a text or message; fields of other numbers are passed over.
#[expect(clippy::option_option, reason = "none is malformed, some of none is absent")]
fn field(mut message: &[u8], number: u64) -> Option<Option<&[u8]>> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let content = match tag & 7 {
            0 => {
                varint(&mut message)?;
                &[][..]
            }
            1 => take(&mut message, 8)?,
            LENGTH_DELIMITED => {
                let length = varint(&mut message)?;
                take(&mut message, usize::try_from(length).ok()?)?
            }
            5 => take(&mut message, 4)?,
            _ => return None,
        };
        if tag == number << 3 | LENGTH_DELIMITED {
            return Some(Some(content));
        }
    }
    Some(None)
}

fn take<'m>(message: &mut &'m [u8], length: usize) -> Option<&'m [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..MAX_VARINT {
        let byte = *take(message, 1)?.first()?;
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(7 * place).ok()?)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend(message);
        frame
    }

    #[test]
    fn requests_are_what_protoc_encodes() {
        // protoc --encode: audience: "sigstore"
        assert_eq!(request("sigstore"), b"\0\0\0\0\x0a\x0a\x08sigstore");
        let long = request(&"a".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
        assert_eq!(long.len(), 5 + 303);
    }

    #[test]
    fn the_first_token_is_taken_and_all_else_passed_over() {
        let svid = b"\x0a\x02id\x12\x03tok\x1a\x01h";
        let mut message = vec![0x10, 0x96, 0x01, 0x1d, 1, 2, 3, 4];
        message.extend([0x0a, 12]);
        message.extend(svid);
        message.extend(b"\x0a\x05\x12\x03two");
        assert_eq!(first_token(&frame(&message)).unwrap(), "tok");
    }

    #[test]
    fn each_bad_answer_has_its_reason() {
        for (bytes, reason) in [
            (&b""[..], "it is cut short"),
            (b"\x01\0\0\0\0", "it is compressed, which was not asked for"),
            (b"\0\0\0\0\x02\x0a", "its length is not what it says"),
            (b"\0\0\0\0\0", "it has no identity"),
            (b"\0\0\0\0\x02\x0a\0", "the identity has no token"),
            (b"\0\0\0\0\x02\x0a\x05", "it is no message of the workload API"),
            (b"\0\0\0\0\x01\x0b", "it is no message of the workload API"),
            (
                b"\0\0\0\0\x05\x0a\x03\x12\x01\xff",
                "it is no message of the workload API",
            ),
        ] {
            assert_eq!(first_token(bytes).unwrap_err(), reason, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = first_token(&bytes);
            let _ = first_token(&frame(&bytes));
        }
    }
}
