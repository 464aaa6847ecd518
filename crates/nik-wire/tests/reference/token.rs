//! Tokens by the definitions of HMAC (RFC 2104) and base32 (RFC 4648).

use sha2::{Digest, Sha256};

/// The token of a text under a key of at most 64 bytes.
pub fn token(id: &str, key: &[u8], text: &[u8]) -> String {
    format!("t{id}_{}", base32(&hmac_sha256(key, text)[..16]))
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let [inner, outer] = [0x36, 0x5c].map(|pad| block.map(|byte| byte ^ pad).to_vec());
    let inner = Sha256::digest([inner, text.to_vec()].concat());
    Sha256::digest([outer, inner.to_vec()].concat()).to_vec()
}

/// Five bits for each character, the last ones filled with zeros; lower case, without padding.
fn base32(bytes: &[u8]) -> String {
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| (byte >> at) & 1));
    let mut bits: Vec<u8> = bits.collect();
    bits.resize(bits.len().next_multiple_of(5), 0);
    let value = |five: &[u8]| five.iter().fold(0, |value, bit| 2 * value + usize::from(*bit));
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    bits.chunks(5).map(|five| char::from(alphabet[value(five)])).collect()
}
