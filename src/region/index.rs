//! From a six-digit code to a dense number, on the path of every NIK.
//!
//! Two steps: the first four digits choose a block, the last two a place in it. All codes share 10,000 slots (20 KB) and a
//! block of 200 bytes for each regency that has kecamatan (about 545: 110 KB), which stays in a core's second-level cache,
//! where one flat table of a million slots (2 MB) would not. Slots without a regency share one empty block: no branch.

/// What an empty place holds; ids stay below it.
const NONE: u16 = u16::MAX;

/// The block that every slot starts with and that stays empty.
const EMPTY: u16 = 0;

/// A map from kecamatan codes (`0..=999_999`) to ids.
#[derive(Debug)]
pub(super) struct Index {
    slots: Box<[u16]>,
    blocks: Vec<[u16; 100]>,
}

impl Index {
    /// A map without codes.
    pub(super) fn new() -> Self {
        Self {
            slots: vec![EMPTY; 10_000].into(),
            blocks: vec![[NONE; 100]],
        }
    }

    /// Puts `id` behind `code`, which must be below a million.
    pub(super) fn insert(&mut self, code: u32, id: u16) {
        debug_assert!(id != NONE, "the last id is the mark of an empty place");
        let slot = &mut self.slots[(code / 100) as usize];
        if *slot == EMPTY {
            // At most 10,000 blocks: the cast cannot cut.
            #[allow(clippy::cast_possible_truncation)]
            let fresh = self.blocks.len() as u16;
            *slot = fresh;
            self.blocks.push([NONE; 100]);
        }
        self.blocks[usize::from(*slot)][(code % 100) as usize] = id;
    }

    /// The id behind `code`; any number is allowed.
    #[inline]
    pub(super) fn find(&self, code: u32) -> Option<u16> {
        let block = *self.slots.get((code / 100) as usize)?;
        let id = self.blocks[usize::from(block)][(code % 100) as usize];
        (id != NONE).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::Index;

    #[test]
    fn finds_what_was_put_in_and_nothing_else() {
        let codes = [0, 99, 100, 327_301, 327_399, 999_999];
        let mut index = Index::new();
        for (id, code) in (7..).zip(codes) {
            index.insert(code, id);
        }
        for code in 0..=1_000_000 {
            let expected = (7..)
                .zip(codes)
                .find(|&(_, known)| known == code)
                .map(|(id, _)| id);
            assert_eq!(index.find(code), expected, "{code}");
        }
        assert_eq!(index.find(u32::MAX), None);
    }
}
