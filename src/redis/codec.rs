//! MessagePack as the scripts speak it: whole numbers, texts and arrays, nothing else.

use rmp::{decode, encode};

/// A reply that is not what the script's contract says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the script's reply is not as agreed: {0}")]
pub struct Malformed(pub String);

/// Writes a packed argument.
#[derive(Debug, Default)]
pub struct Packer(Vec<u8>);

impl Packer {
    /// The bytes written so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Opens an array of so many values.
    pub fn array(&mut self, len: usize) -> &mut Self {
        // Writing into a Vec cannot fail.
        let _ = encode::write_array_len(&mut self.0, len as u32);
        self
    }

    /// Adds a whole number.
    pub fn int(&mut self, number: i64) -> &mut Self {
        let _ = encode::write_sint(&mut self.0, number);
        self
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let _ = encode::write_str(&mut self.0, text);
        self
    }

    /// Adds a place in a list, which the scripts count from 1.
    pub fn place(&mut self, at: usize) -> &mut Self {
        self.int(at as i64 + 1)
    }

    /// Adds two texts as one.
    pub fn joined(&mut self, first: &str, second: &str) -> &mut Self {
        let _ = encode::write_str_len(&mut self.0, (first.len() + second.len()) as u32);
        self.0.extend_from_slice(first.as_bytes());
        self.0.extend_from_slice(second.as_bytes());
        self
    }

    /// Adds a whole number as text: for those past 2^53, which a script cannot hold.
    pub fn decimal(&mut self, number: i64) -> &mut Self {
        let (mut digits, mut at, mut left) = ([0_u8; 20], 20, number.unsigned_abs());
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        let sign: &[u8] = if number < 0 { b"-" } else { b"" };
        let _ = encode::write_str_len(&mut self.0, (sign.len() + digits.len() - at) as u32);
        self.0.extend_from_slice(sign);
        self.0.extend_from_slice(&digits[at..]);
        self
    }

    /// Adds a text of any bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let _ = encode::write_str_len(&mut self.0, bytes.len() as u32);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds what another one holds.
    pub fn append(&mut self, other: &Self) -> &mut Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    /// Adds an array of whole numbers.
    pub fn ints(&mut self, numbers: &[i64]) -> &mut Self {
        self.array(numbers.len());
        for number in numbers {
            self.int(*number);
        }
        self
    }
}

/// Reads a packed reply from front to back.
#[derive(Debug)]
pub struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    /// A reader at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Opens an array: how many values follow.
    pub fn array(&mut self) -> Result<usize, Malformed> {
        decode::read_array_len(&mut self.0)
            .map(|len| len as usize)
            .map_err(|fault| malformed("an array", &fault))
    }

    /// Opens an array of so many values.
    pub fn array_of(&mut self, expected: usize) -> Result<(), Malformed> {
        let len = self.array()?;
        if len == expected { Ok(()) } else { Err(Malformed(format!("{len} values instead of {expected}"))) }
    }

    /// Whether an array comes next.
    pub fn is_array(&self) -> bool {
        self.0.first().is_some_and(|byte| matches!(byte, 0x90..=0x9f | 0xdc | 0xdd))
    }

    /// The next whole number.
    pub fn int(&mut self) -> Result<i64, Malformed> {
        decode::read_int(&mut self.0).map_err(|fault| malformed("a whole number", &fault))
    }

    /// The next text.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let (text, rest) =
            decode::read_str_from_slice(self.0).map_err(|fault| malformed("a text", &fault))?;
        self.0 = rest;
        Ok(text)
    }

    /// The next text, of any bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = decode::read_str_len(&mut self.0).map_err(|fault| malformed("a text", &fault))? as usize;
        let (bytes, rest) =
            self.0.split_at_checked(length).ok_or_else(|| Malformed("a text was cut off".to_owned()))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The next so many whole numbers.
    pub fn ints<const N: usize>(&mut self) -> Result<[i64; N], Malformed> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = self.int()?;
        }
        Ok(numbers)
    }
}

fn malformed(wanted: &str, fault: &dyn std::error::Error) -> Malformed {
    Malformed(format!("{wanted} was expected: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_texts_are_what_they_are_elsewhere() {
        for number in [0, 7, -7, i64::MAX, i64::MIN, -1_000_000_000_000_000_000] {
            let mut packer = Packer::default();
            packer.decimal(number).joined("u:", "ann");
            let bytes = packer.into_bytes();
            let mut reader = Unpacker::new(&bytes);
            assert!(!reader.is_array());
            assert_eq!((reader.text(), reader.text()), (Ok(number.to_string().as_str()), Ok("u:ann")));
        }
    }

    #[test]
    fn what_is_packed_is_read_back() {
        let mut packer = Packer::default();
        packer.array(3).int(-(1 << 53)).text("ann").ints(&[0, 127, 128, 8_000_000_000_000_000]);
        let bytes = packer.into_bytes();
        let mut reader = Unpacker::new(&bytes);
        assert!(reader.is_array());
        assert_eq!(reader.array(), Ok(3));
        assert_eq!(reader.int(), Ok(-(1 << 53)));
        assert_eq!(reader.text(), Ok("ann"));
        assert!(Unpacker::new(&bytes).array_of(2).is_err());
        assert_eq!(reader.array_of(4), Ok(()));
        assert_eq!(reader.ints(), Ok([0, 127, 128, 8_000_000_000_000_000]));
        assert!(reader.int().is_err());
    }
}
