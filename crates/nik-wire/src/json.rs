//! A strict JSON scanner (RFC 8259): one pass, no recursion, no tree. It validates the document and
//! reports the spans of values.
//!
//! Every request passes through it. `serde_json` would read each element twice, as raw bytes and as
//! text, and accepts lone surrogates in values that it skips. On everything else `tests/codec.rs`
//! compares this scanner with `serde_json`.

use super::Span;
use nik::Digits;

/// The deepest nesting of arrays and objects.
const MAX_DEPTH: u32 = 128;

/// The document is not JSON, or nested too deeply.
#[derive(Debug)]
pub(super) struct Malformed;

/// The decoded text of a JSON string.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Text {
    /// A string without escapes: a span of the document.
    Plain(Span),
    /// A string with escapes: a span of the arena, which holds the decoded text.
    Decoded(Span),
}

impl Text {
    pub(super) fn of<'a>(self, document: &'a str, arena: &'a str) -> &'a str {
        match self {
            Self::Plain(span) => &document[span.range()],
            Self::Decoded(span) => &arena[span.range()],
        }
    }
}

#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Text(Text),
    /// A number without a fraction or exponent.
    Integer,
    /// Any other value.
    Other,
}

/// Scans a document of at most [`Span::MAX_DOCUMENT`] bytes. The caller skips whitespace before and
/// after a value.
pub(super) struct Scanner<'a> {
    document: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The decoded text of every string with escapes. Escapes are validated by decoding them, so
    /// that skipped strings are decoded too.
    arena: &'a mut String,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(document: &'a str, arena: &'a mut String) -> Self {
        Self::at(0, document, arena)
    }

    /// A scanner that starts at this offset.
    pub(super) fn at(at: usize, document: &'a str, arena: &'a mut String) -> Self {
        Self { document, bytes: document.as_bytes(), at, arena }
    }

    /// The current offset.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn text(&self, text: Text) -> &str {
        text.of(self.document, self.arena)
    }

    pub(super) fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Consumes this byte if it is the next one.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.eat(byte) { Ok(()) } else { Err(Malformed) }
    }

    /// Only whitespace may follow.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        self.whitespace();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Malformed) }
    }

    /// Consumes a comma (true) or the closing bracket (false).
    pub(super) fn another(&mut self, bracket: u8) -> Result<bool, Malformed> {
        self.whitespace();
        if self.eat(bracket) {
            return Ok(false);
        }
        self.expect(b',')?;
        self.whitespace();
        Ok(true)
    }

    /// Consumes an array or object; `item` consumes each element or member.
    #[inline]
    pub(super) fn each(
        &mut self,
        [open, close]: [u8; 2],
        mut item: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.expect(open)?;
        self.whitespace();
        let mut more = !self.eat(close);
        while more {
            item(self)?;
            more = self.another(close)?;
        }
        Ok(())
    }

    /// Consumes the key of an object, the colon and the whitespace up to the value.
    pub(super) fn key(&mut self) -> Result<Text, Malformed> {
        self.expect(b'"')?;
        let key = self.string()?;
        self.whitespace();
        self.expect(b':')?;
        self.whitespace();
        Ok(key)
    }

    /// Consumes a string of sixteen digits, the common form of a NIK, at once; false if the next
    /// value is anything else.
    pub(super) fn sixteen_digits(&mut self) -> bool {
        let next = self.bytes[self.at..].first_chunk::<18>();
        let found = next.is_some_and(|next| match next {
            [b'"', digits @ .., b'"'] => Digits::read(digits).is_some(),
            _ => false,
        });
        self.at += if found { 18 } else { 0 };
        found
    }

    /// Consumes any value, nested in `outer` containers; the text of a string or integer, since
    /// either can be a NIK.
    pub(super) fn nik(&mut self, outer: u32) -> Result<Option<Text>, Malformed> {
        let start = self.at;
        Ok(match self.value(outer)? {
            Value::Text(text) => Some(text),
            Value::Integer => Some(Text::Plain(Span::new(start, self.at))),
            Value::Other => None,
        })
    }

    /// Consumes any value, nested in `outer` containers.
    pub(super) fn value(&mut self, outer: u32) -> Result<Value, Malformed> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(Value::Text)
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{' | b'[') => self.container(outer).map(|()| Value::Other),
            _ => self.literal().map(|()| Value::Other),
        }
    }

    /// Consumes an array or object with its content.
    fn container(&mut self, outer: u32) -> Result<(), Malformed> {
        // A stack of open containers, innermost in the lowest bit: 1 is an object, 0 an array.
        let mut objects: u128 = 0;
        let mut open = outer;
        loop {
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    open += 1;
                    if open > MAX_DEPTH {
                        return Err(Malformed);
                    }
                    objects = objects << 1 | u128::from(bracket == b'{');
                    self.whitespace();
                    if self.peek() != Some(closing(objects)) {
                        if objects & 1 == 1 {
                            self.key()?;
                        }
                        continue;
                    }
                }
                _ => {
                    self.value(open)?; // a scalar
                }
            }
            // After a value or in an empty container: go on to the next value, closing containers.
            while !self.another(closing(objects))? {
                objects >>= 1;
                open -= 1;
                if open == outer {
                    return Ok(());
                }
            }
            if objects & 1 == 1 {
                self.key()?;
            }
        }
    }

    fn number(&mut self) -> Result<Value, Malformed> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        let mut kind = Value::Integer;
        if self.eat(b'.') {
            self.digits()?;
            kind = Value::Other;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _sign = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
            kind = Value::Other;
        }
        Ok(kind)
    }

    /// Consumes one or more digits.
    fn digits(&mut self) -> Result<(), Malformed> {
        let rest = &self.bytes[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count > 0 { Ok(()) } else { Err(Malformed) }
    }

    fn literal(&mut self) -> Result<(), Malformed> {
        let rest = &self.bytes[self.at..];
        let literal = ["true", "false", "null"]
            .into_iter()
            .find(|literal| rest.starts_with(literal.as_bytes()));
        self.at += literal.ok_or(Malformed)?.len();
        Ok(())
    }

    /// Consumes a string after its opening quote.
    fn string(&mut self) -> Result<Text, Malformed> {
        let start = self.at;
        self.at += plain_run(&self.bytes[start..]);
        if self.eat(b'"') {
            return Ok(Text::Plain(Span::new(start, self.at - 1)));
        }
        let decoded = self.arena.len();
        let mut run = start;
        loop {
            self.arena.push_str(&self.document[run..self.at]);
            if self.eat(b'"') {
                return Ok(Text::Decoded(Span::new(decoded, self.arena.len())));
            }
            self.expect(b'\\')?; // otherwise a control character or the end of the document
            let escaped = self.escape()?;
            self.arena.push(escaped);
            run = self.at;
            self.at += plain_run(&self.bytes[run..]);
        }
    }

    /// Consumes an escape after its backslash.
    fn escape(&mut self) -> Result<char, Malformed> {
        let byte = self.peek().ok_or(Malformed)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(Malformed),
        })
    }

    /// Consumes `XXXX`, or the surrogate pair `XXXX\uXXXX`. A lone surrogate is malformed.
    fn unicode_escape(&mut self) -> Result<char, Malformed> {
        let mut code = self.four_hex_digits()?;
        if let 0xD800..0xDC00 = code {
            self.expect(b'\\')?;
            self.expect(b'u')?;
            let low = self.four_hex_digits()?;
            if !(0xDC00..0xE000).contains(&low) {
                return Err(Malformed);
            }
            code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        char::from_u32(code).ok_or(Malformed)
    }

    fn four_hex_digits(&mut self) -> Result<u32, Malformed> {
        let digits: &[u8; 4] = self.bytes[self.at..].first_chunk().ok_or(Malformed)?;
        self.at += 4;
        digits
            .iter()
            .try_fold(0, |code, digit| {
                char::from(*digit).to_digit(16).map(|digit| code * 16 + digit)
            })
            .ok_or(Malformed)
    }
}

/// The bracket that closes the innermost container.
fn closing(objects: u128) -> u8 {
    if objects & 1 == 1 { b'}' } else { b']' }
}

/// The number of bytes before the first one that a JSON string must escape: `"`, `\` or a control
/// character.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut run = 0;
    while let Some(word) = bytes[run..].first_chunk() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return run + special.trailing_zeros() as usize / 8;
        }
        run += 8;
    }
    let special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    run + bytes[run..].iter().position(special).unwrap_or(bytes.len() - run)
}

/// Sets the high bit of each special byte. Only the lowest bit that is set is reliable; callers use
/// no other.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // `x - n` sets the high bit where x < n; `& !word` drops bytes that had it set before.
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound));
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, b' ') | equal(b'"') | equal(b'\\')) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::Scanner;

    #[test]
    fn only_a_string_of_sixteen_digits_is_consumed_at_once() {
        for (document, end) in [
            (r#""3273010101900001","#, 18),
            (r#""3273010101900001""#, 18),
            (r#""327301010190000a","#, 0),
            (r#""32730101019000010","#, 0),
            (r#""327301010190001","#, 0),
            ("3273010101900001,,", 0),
            ("", 0),
        ] {
            let mut arena = String::new();
            let mut scanner = Scanner::new(document, &mut arena);
            assert_eq!(scanner.sixteen_digits(), end > 0, "{document}");
            assert_eq!(scanner.position(), end, "{document}");
        }
    }
}
