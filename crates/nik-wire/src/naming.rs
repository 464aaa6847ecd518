//! How a result names the NIKs of its request: as they are, or by tokens.
//!
//! It is a type parameter of the writer, so that plain results cost what they would cost without
//! tokens.

use super::token::{Token, TokenKey};
use super::{Unreadable, write};
use nik::Nik;

/// What a result holds in the places of NIKs.
pub trait Naming: Copy {
    /// Whether a NIK is named by its text.
    const PLAIN: bool;
    /// The name of one NIK. It is made once for all its places.
    type Name<'n>;

    fn name<'n>(&self, nik: Nik<'n>) -> Self::Name<'n>;

    /// Appends a name as a JSON string.
    fn write(out: &mut Vec<u8>, name: &Self::Name<'_>);

    /// Appends an element of `errors`.
    fn error(&self, out: &mut Vec<u8>, element: Unreadable<'_>);
}

/// NIKs as they are.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Naming for Plain {
    const PLAIN: bool = true;
    type Name<'n> = &'n str;

    #[inline]
    fn name<'n>(&self, nik: Nik<'n>) -> &'n str {
        nik.as_str()
    }

    #[inline]
    fn write(out: &mut Vec<u8>, name: &&str) {
        write::text(out, name);
    }

    fn error(&self, out: &mut Vec<u8>, element: Unreadable<'_>) {
        out.extend_from_slice(element.raw);
    }
}

/// The token of each NIK under this key.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'k>(pub &'k TokenKey);

impl Naming for Tokens<'_> {
    const PLAIN: bool = false;
    type Name<'n> = Token;

    fn name(&self, nik: Nik<'_>) -> Token {
        self.0.token(nik.as_str().as_bytes())
    }

    fn write(out: &mut Vec<u8>, name: &Token) {
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.push(b'"');
    }

    /// Whatever may hold a NIK becomes a token: a text or an integer by its text, so that a NIK has
    /// the same token however it is written; an object, an array or a fraction by its bytes.
    fn error(&self, out: &mut Vec<u8>, element: Unreadable<'_>) {
        match element.raw {
            b"true" | b"false" | b"null" => out.extend_from_slice(element.raw),
            raw => {
                let text = element.text.map_or(raw, str::as_bytes);
                Self::write(out, &self.0.token(text));
            }
        }
    }
}
