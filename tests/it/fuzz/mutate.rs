//! A small mutator: the same seed gives the same inputs.

/// Numbers around which programs break.
const EDGES: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff];

pub struct Mutator {
    state: u64,
    words: &'static [&'static str],
    most: usize,
}

impl Mutator {
    pub fn new(seed: u64, words: &'static [&'static str], most: usize) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, words, most }
    }

    /// xorshift64*.
    fn draw(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.draw()).unwrap() % end.max(1)
    }

    /// A seed after one to eight changes.
    pub fn next(&mut self, corpus: &[&[u8]]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].to_vec();
        for _ in 0..=self.below(8) {
            self.change(&mut bytes, corpus);
        }
        bytes.truncate(self.most);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, corpus: &[&[u8]]) {
        let at = self.below(bytes.len() + 1);
        match self.below(12) {
            0 => self.flip(bytes, at),
            1 => self.overwrite(bytes, at),
            2 => drop(bytes.drain(at..(at + 1 + self.below(16)).min(bytes.len()).max(at))),
            3 => bytes.truncate(at),
            4 => self.copy(bytes, at),
            5 => self.edge(bytes, at),
            6 => self.digit(bytes, at),
            7 | 8 => self.word(bytes, at),
            9 => self.splice(bytes, at, corpus),
            10 => self.repeat(bytes, at),
            _ => self.swap(bytes, at),
        }
    }

    fn flip(&mut self, bytes: &mut [u8], at: usize) {
        let bit = 1 << self.below(8);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= bit;
        }
    }

    fn overwrite(&mut self, bytes: &mut [u8], at: usize) {
        for offset in 0..=self.below(4) {
            let byte = self.draw().to_le_bytes()[0];
            if let Some(to) = bytes.get_mut(at + offset) {
                *to = byte;
            }
        }
    }

    /// A piece of the input once more, elsewhere.
    fn copy(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let start = self.below(bytes.len() + 1);
        let piece = bytes[start..(start + 1 + self.below(64)).min(bytes.len()).max(start)].to_vec();
        bytes.splice(at..at, piece);
    }

    /// An edge in one, two or four bytes, either way round.
    fn edge(&mut self, bytes: &mut [u8], at: usize) {
        let (edge, width, big) = (EDGES[self.below(EDGES.len())], 1 << self.below(3), self.below(2) == 1);
        let mut number = edge.to_le_bytes()[..width].to_vec();
        if big {
            number.reverse();
        }
        for (to, from) in bytes.iter_mut().skip(at).zip(number) {
            *to = from;
        }
    }

    /// Another digit in place of the next one.
    fn digit(&mut self, bytes: &mut [u8], at: usize) {
        let digit = b'0' + u8::try_from(self.below(10)).unwrap();
        if let Some(byte) = bytes.iter_mut().skip(at).find(|byte| byte.is_ascii_digit()) {
            *byte = digit;
        }
    }

    fn word(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let word = self.words[self.below(self.words.len())].as_bytes().to_vec();
        let end = if self.below(2) == 0 { at } else { (at + word.len()).min(bytes.len()) };
        bytes.splice(at..end, word);
    }

    /// The rest comes from another seed.
    fn splice(&mut self, bytes: &mut Vec<u8>, at: usize, corpus: &[&[u8]]) {
        let other = corpus[self.below(corpus.len())];
        bytes.truncate(at);
        bytes.extend_from_slice(&other[self.below(other.len() + 1)..]);
    }

    /// A piece many times over: depth, length, number.
    fn repeat(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let piece = bytes[at..(at + 1 + self.below(8)).min(bytes.len()).max(at)].to_vec();
        let times = 1 << self.below(11);
        if piece.len() * times + bytes.len() <= self.most {
            bytes.splice(at..at, piece.repeat(times));
        }
    }

    fn swap(&mut self, bytes: &mut [u8], at: usize) {
        let other = self.below(bytes.len());
        if at < bytes.len() {
            bytes.swap(at, other);
        }
    }
}
