//! Text as it looks after an accident with character sets.

use encoding_rs::GBK;

/// GBK bytes in a column that calls itself latin1: every byte is a character of its own.
pub fn gbk_in_latin1(text: &str) -> String {
    GBK.encode(text).0.iter().copied().map(char::from).collect()
}

/// UTF-8 bytes taken for latin1 and encoded a second time.
pub fn twice_encoded(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_comes_out() {
        assert_eq!(hex::encode(gbk_in_latin1("吉林省")), "c2bcc2aac381c396c38ac2a1");
        assert_eq!(twice_encoded("吉"), "\u{e5}\u{90}\u{89}");
    }
}
