//! Tokens: pseudonyms of NIKs, for readers of results who need the verdicts only.
//!
//! A token is `t<key id>_` and 26 characters: base32 (RFC 4648, lower case, without padding) of the
//! first 128 bits of HMAC-SHA-256 (RFC 2104) over the text of the NIK. The key is what makes it a
//! pseudonym: a plain hash of every plausible NIK can be computed within hours.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The most characters of a key's id.
const ID_CHARACTERS: usize = 16;
/// The bytes of a key in a key file.
const KEY_BYTES: usize = 32;
/// The characters of a token after its prefix: 128 bits, five in each.
const DIGEST_CHARACTERS: usize = 26;
/// The most characters of a token: `t`, the id, `_` and the digest.
const TOKEN_CHARACTERS: usize = 2 + ID_CHARACTERS + DIGEST_CHARACTERS;

/// A secret key that makes tokens, with its id. `Debug` shows the id only.
#[derive(Clone)]
pub struct TokenKey {
    /// `t<key id>_`
    prefix: Box<str>,
    /// HMAC after it has taken in the key, so that a token costs two blocks of SHA-256.
    keyed: Hmac<Sha256>,
}

/// What is wrong with a key file. It never quotes the file, which holds secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    #[error("line {0}: expected an id and a key, as in `<id> <64 hex digits>`")]
    Form(usize),
    #[error("line {0}: expected an id of 1 to 16 ASCII letters and digits")]
    Id(usize),
    #[error("line {0}: expected a key of 64 hex digits after the id")]
    Key(usize),
    #[error("line {0}: expected an id that no line above has")]
    Repeated(usize),
    #[error("expected at least one line `<id> <64 hex digits>`")]
    Empty,
}

impl TokenKey {
    /// `None` unless `id` is 1 to 16 ASCII letters and digits. `key` may have any length; key files
    /// have 32 bytes.
    pub fn new(id: &str, key: &[u8]) -> Option<Self> {
        let fits = (1..=ID_CHARACTERS).contains(&id.len());
        if !fits || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let keyed = Hmac::new_from_slice(key).ok()?; // HMAC takes keys of any length
        Some(Self { prefix: format!("t{id}_").into(), keyed })
    }

    /// Reads the text of a key file: in each line the id of a key, a space, and the key in hex. The
    /// first key is the one that writes.
    pub fn read_file(text: &str) -> Result<Vec<Self>, KeyFileError> {
        let mut keys: Vec<Self> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let (id, hex) = line.split_once(' ').ok_or(KeyFileError::Form(number))?;
            let key = bytes(hex).ok_or(KeyFileError::Key(number))?;
            let key = Self::new(id, &key).ok_or(KeyFileError::Id(number))?;
            if keys.iter().any(|known| known.prefix == key.prefix) {
                return Err(KeyFileError::Repeated(number));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(KeyFileError::Empty) } else { Ok(keys) }
    }

    /// The token of a NIK's text, which may be any bytes.
    pub fn token(&self, text: &[u8]) -> Token {
        let mut mac = self.keyed.clone();
        mac.update(text);
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let mut token = Token { text: [0; TOKEN_CHARACTERS], length: 0 };
        token.push(self.prefix.as_bytes());
        token.push(&base32(digest));
        token
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenKey({}..)", self.prefix)
    }
}

/// A token: ASCII text without anything that JSON escapes.
#[derive(Clone, Copy)]
pub struct Token {
    text: [u8; TOKEN_CHARACTERS],
    length: usize,
}

impl Token {
    fn push(&mut self, part: &[u8]) {
        self.text[self.length..][..part.len()].copy_from_slice(part);
        self.length += part.len();
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// The first 128 bits of a digest in base32, lower case, without padding.
fn base32(digest: [u8; 32]) -> [u8; DIGEST_CHARACTERS] {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let [first, second] = [0, 8].map(|at| {
        let half = digest[at..].first_chunk().expect("32 bytes");
        u64::from_be_bytes(*half)
    });
    let bits = u128::from(first) << 64 | u128::from(second);
    let mut text = [0; DIGEST_CHARACTERS];
    for (index, character) in text.iter_mut().enumerate() {
        // The last character has three bits; two zeros follow them.
        let five = if index < 25 { bits >> (123 - 5 * index) } else { bits << 2 };
        *character = ALPHABET[(five & 31) as usize];
    }
    text
}

/// The bytes that 64 hex digits write.
fn bytes(hex: &str) -> Option<[u8; KEY_BYTES]> {
    let digits: &[u8; 2 * KEY_BYTES] = hex.as_bytes().try_into().ok()?;
    let mut bytes = [0; KEY_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16)?;
            *byte = *byte << 4 | u8::try_from(value).ok()?;
        }
    }
    Some(bytes)
}
