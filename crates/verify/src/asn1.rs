//! DER read field by field without copying: for structures where exact bytes matter (RFC 3161, RFC 6962) and where
//! peers' sets are not sorted as DER wants them.

use der::asn1::ObjectIdentifier;
use der::{Decode, Reader, SliceReader, Tag, TagNumber};

/// One element: its tag, all of its bytes, and those inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: Tag,
    pub(crate) whole: &'a [u8],
    pub(crate) content: &'a [u8],
}

/// Elements in sequence.
#[derive(Clone)]
pub(crate) struct Elements<'a> {
    reader: SliceReader<'a>,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> der::Result<Self> {
        Ok(Self {
            reader: SliceReader::new(bytes)?,
        })
    }

    /// The elements inside of the only element of `bytes`, which must have this tag.
    pub(crate) fn inside(bytes: &'a [u8], tag: Tag) -> der::Result<Self> {
        let mut outer = Self::new(bytes)?;
        let element = outer.expect(tag)?;
        outer.finish()?;
        element.elements()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.reader.is_finished()
    }

    pub(crate) fn next_tag(&self) -> Option<Tag> {
        self.reader.peek_header().ok().map(|header| header.tag)
    }

    pub(crate) fn next(&mut self) -> der::Result<Element<'a>> {
        let tag = self.reader.peek_header()?.tag;
        let whole = self.reader.tlv_bytes()?;
        let mut inner = SliceReader::new(whole)?;
        let length = der::Header::decode(&mut inner)?.length;
        Ok(Element {
            tag,
            whole,
            content: inner.read_slice(length)?,
        })
    }

    pub(crate) fn expect(&mut self, tag: Tag) -> der::Result<Element<'a>> {
        let element = self.next()?;
        element.tag.assert_eq(tag)?;
        Ok(element)
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: Tag) -> der::Result<Option<Element<'a>>> {
        if self.next_tag() == Some(tag) {
            self.next().map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn oid(&mut self) -> der::Result<ObjectIdentifier> {
        ObjectIdentifier::from_der(self.expect(Tag::ObjectIdentifier)?.whole)
    }

    /// The content of `[number] EXPLICIT` or of a constructed `[number] IMPLICIT`.
    pub(crate) fn tagged(&mut self, number: TagNumber) -> der::Result<Element<'a>> {
        self.expect(context(number))
    }

    /// Nothing may follow.
    pub(crate) fn finish(self) -> der::Result<()> {
        if self.reader.is_finished() {
            Ok(())
        } else {
            Err(der::ErrorKind::TrailingData {
                decoded: self.reader.position(),
                remaining: self.reader.remaining_len(),
            }
            .into())
        }
    }
}

impl<'a> Element<'a> {
    pub(crate) fn elements(&self) -> der::Result<Elements<'a>> {
        Elements::new(self.content)
    }
}

/// `[number]`, constructed.
pub(crate) fn context(number: TagNumber) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number,
    }
}
