//! The memo file of FoxPro (.FPT): texts of any length, in blocks that the fields of a DBF point to.
//!
//! 512 bytes of header, in it the next free block and the size of a block, both with the high byte first. A memo begins at
//! a block with eight bytes, its kind and its length. Every number is compared with what the file really has.

use std::io::SeekFrom;

use crate::{
    adapter::decode::{Input, ROW_TOO_LONG, charset::Charset, unreadable},
    error::{Code, Fault},
};

/// Records have memos, and the file of memos is not there.
pub const MISSING: Code = Code::new(3420);
/// The file of memos is cut off or damaged, or a record points outside of it.
pub const BROKEN: Code = Code::new(3421);

/// The ending of the file.
pub const ENDING: &str = "fpt";
const HEADER: u64 = 512;
/// The kind of a memo that is text; pictures and objects are others.
const TEXT: u32 = 1;

/// An open file of memos.
pub struct Memos {
    input: Box<dyn Input>,
    size: u64,
    block: u64,
    limit: u64,
}

impl Memos {
    /// Looks at the header, and whether the file is as long as it says.
    ///
    /// # Errors
    /// [`BROKEN`].
    pub fn open(mut input: Box<dyn Input>, limit: u64) -> Result<Self, Fault> {
        let size = input.seek(SeekFrom::End(0)).map_err(|error| unreadable(&error))?;
        if size < HEADER {
            return Err(broken("the file of memos ends inside its header"));
        }
        let mut header = [0; 8];
        read(&mut *input, 0, &mut header)?;
        let free = u64::from(u32::from_be_bytes([header[0], header[1], header[2], header[3]]));
        // A size of 0 means blocks of one byte.
        let block = u64::from(u16::from_be_bytes([header[6], header[7]])).max(1);
        // The last memo ends in the block before the free one, of which at least the first byte is there.
        if free.saturating_sub(1) * block >= size {
            return Err(broken("the file of memos is shorter than its header says").hint("it is cut off; ask for it again"));
        }
        Ok(Self { input, size, block, limit })
    }

    /// The text that begins at a block; nothing for what is no text.
    ///
    /// # Errors
    /// [`BROKEN`] for a place or a length outside of the file, [`ROW_TOO_LONG`], or the faults of its charset.
    pub fn text(&mut self, block: u64, charset: Charset) -> Result<Option<String>, Fault> {
        let start = block.saturating_mul(self.block);
        if start < HEADER || start.saturating_add(8) > self.size {
            return Err(broken("a record points outside of the file of memos"));
        }
        let mut head = [0; 8];
        read(&mut *self.input, start, &mut head)?;
        let kind = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let length = u64::from(u32::from_be_bytes([head[4], head[5], head[6], head[7]]));
        if length > self.size - start - 8 {
            return Err(
                broken("a memo is longer than the file of memos").hint("the file is cut off or damaged; ask for it again")
            );
        }
        if length > self.limit {
            return Err(Fault::new(ROW_TOO_LONG, "a memo is too long").expected(format!("at most {} bytes", self.limit)));
        }
        if kind != TEXT {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        read(&mut *self.input, start + 8, &mut bytes)?;
        let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0 | b'\r' | b'\n' | 0x1a)).map_or(0, |last| last + 1);
        Ok(Some(charset.decode(&bytes[..end])?.into()).filter(|text: &String| !text.is_empty()))
    }
}

fn read(input: &mut dyn Input, from: u64, buffer: &mut [u8]) -> Result<(), Fault> {
    input.seek(SeekFrom::Start(from)).and_then(|_| input.read_exact(buffer)).map_err(|error| unreadable(&error))
}

fn broken(what: &str) -> Fault {
    Fault::new(BROKEN, what).expected("the .FPT that was written together with the .DBF")
}
