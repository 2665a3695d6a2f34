//! How large a program may be: the compiler and the interpreter work recursively, and a stack that is full ends the process.
//!
//! What nests is counted before the compiler sees it: brackets, and operators and keywords that take what follows them
//! (`1 + 1 + …`, `!!…`, `a = b = …`, `else if …`). Between two statements the count begins anew. Programs of the adapters
//! reach 25; a stack of two megabytes holds more than 200.

/// Longest program; also bounds the compiler's work.
const MOST_BYTES: usize = 128 * 1024;
/// Brackets, operators and keywords around one value.
const DEEPEST: usize = 128;
/// Parts of the paths of one statement: the compiler's work on a path grows with their square.
const MOST_PARTS: usize = 400;

const PAIRS: [&[u8; 2]; 8] = [b"||", b"&&", b"??", b"==", b"!=", b"<=", b">=", b"->"];
const SINGLES: &[u8] = b"+-*/%|!=<>?&";
const KEYWORDS: [&[u8]; 4] = [b"if", b"else", b"return", b"abort"];

/// Refuses a program that could be too much for a stack.
///
/// # Errors
/// What is too large.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > MOST_BYTES {
        return Err(format!("the program is longer than {MOST_BYTES} bytes"));
    }
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, levels: vec![Level::default()], depth: 0, open: false };
    while scan.at < scan.bytes.len() {
        scan.token();
        if scan.depth + scan.levels.len() > DEEPEST {
            return Err(format!("the program is nested deeper than {DEEPEST} brackets and operators"));
        }
        if scan.levels.last().is_some_and(|level| level.parts > MOST_PARTS) {
            return Err(format!("a path of the program has more than {MOST_PARTS} parts"));
        }
    }
    Ok(())
}

/// What the statement under way has, inside one pair of brackets.
#[derive(Default)]
struct Level {
    operators: usize,
    parts: usize,
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    levels: Vec<Level>,
    /// Operators and keywords of all levels.
    depth: usize,
    /// The last token wants another one.
    open: bool,
}

impl Scan<'_> {
    fn token(&mut self) {
        let rest = &self.bytes[self.at..];
        match rest[0] {
            b'#' => self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
            quote @ (b'"' | b'\'') => self.literal(quote),
            b'\n' => self.line(),
            b',' | b';' => {
                self.at += 1;
                self.statement();
            }
            b'(' | b'[' | b'{' => {
                self.at += 1;
                self.levels.push(Level::default());
                self.open = false;
            }
            b')' | b']' | b'}' => self.close(),
            b'.' => {
                self.at += 1;
                self.levels.last_mut().iter_mut().for_each(|level| level.parts += 1);
                self.open = false;
            }
            _ if PAIRS.iter().any(|pair| rest.starts_with(*pair)) => self.operator(2),
            byte if SINGLES.contains(&byte) => self.operator(1),
            byte if byte.is_ascii_alphanumeric() || byte == b'_' => self.word(),
            byte => {
                self.at += 1;
                self.open &= byte.is_ascii_whitespace();
            }
        }
    }

    fn literal(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.bytes.get(self.at) {
            self.at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == quote {
                break;
            }
        }
        self.at = self.at.min(self.bytes.len());
        self.open = false;
    }

    fn word(&mut self) {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').unwrap_or(rest.len());
        if KEYWORDS.contains(&&rest[..end]) {
            return self.operator(end);
        }
        self.at += end;
        self.open = false;
    }

    fn operator(&mut self, length: usize) {
        self.at += length;
        self.depth += 1;
        self.levels.last_mut().iter_mut().for_each(|level| level.operators += 1);
        self.open = true;
    }

    fn close(&mut self) {
        self.at += 1;
        let level = if self.levels.len() > 1 { self.levels.pop() } else { self.levels.last_mut().map(std::mem::take) };
        self.depth -= level.map_or(0, |level| level.operators);
        self.open = false;
    }

    /// The end of a line is that of a statement, unless one side of it wants the other.
    fn line(&mut self) {
        let rest = self.bytes[self.at..].trim_ascii_start();
        self.at += 1;
        let goes_on =
            rest.starts_with(b"else") || rest.starts_with(b"#") || rest.first().is_some_and(|byte| b"|&?+*/=<>".contains(byte));
        if !self.open && !goes_on {
            self.statement();
        }
    }

    fn statement(&mut self) {
        let level = self.levels.last_mut().map(std::mem::take);
        self.depth -= level.map_or(0, |level| level.operators);
        self.open = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::map::{MapContext, Mapper, PROGRAM_INVALID};

    /// Forms that nest, so many times.
    fn forms(times: usize) -> Vec<(&'static str, String)> {
        vec![
            ("plus", format!("x = {}1", "1 + ".repeat(times))),
            ("lines", format!("x = {}1", "1 +\n".repeat(times))),
            ("not", format!("x = {}true", "!".repeat(times))),
            ("assign", format!("{}1", "x = ".repeat(times))),
            ("else if", format!("if false {{ 1 }}{}", " else if false { 1 }".repeat(times / 2))),
            ("else if on lines", format!("if false {{ 1 }}{}", "\nelse if false { 1 }".repeat(times / 2))),
            ("return", format!("{}1", "return ".repeat(times))),
            ("or", format!("x = {}false", "false || ".repeat(times))),
            ("brackets", format!("x = {}1{}", "[".repeat(times), "]".repeat(times))),
            ("sums in brackets", format!("x = {}1{}", "(1 + ".repeat(times / 2), ")".repeat(times / 2))),
        ]
    }

    #[test]
    fn what_would_fill_a_stack_is_refused() {
        for (name, text) in forms(50_000 / 4) {
            assert!(check(&text).is_err(), "{name}");
            assert_eq!(Mapper::compile(&text, "p.vrl", &MapContext::default()).unwrap_err()[0].code, PROGRAM_INVALID, "{name}");
        }
        assert!(check(&format!("x = .a{}", ".a".repeat(20_000))).unwrap_err().contains("path"));
        assert!(check(&"#".repeat(MOST_BYTES + 1)).is_err());
    }

    #[test]
    fn what_passes_fits_the_stack_of_a_worker() {
        let work = || {
            for (name, text) in forms(DEEPEST - 6) {
                assert_eq!(check(&text), Ok(()), "{name}");
                // Some are wrong by type; none ends the process.
                let _ = Mapper::compile(&text, "p.vrl", &MapContext::default());
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn statements_texts_and_comments_do_not_add_up() {
        let many = "x = 1 + 2 # a || b || c\n".repeat(500) + &"y = {\"a\": 1 + 1, \"b\": -1}\n".repeat(100);
        assert_eq!(check(&many), Ok(()));
        assert_eq!(check(&format!("x = \"{}\"\ny = r'{}'", "(".repeat(1000), "+\\'".repeat(1000))), Ok(()));
        assert_eq!(check(")))\n'"), Ok(()));
    }
}
