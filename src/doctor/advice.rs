//! What to do about a fault that says nothing of it itself: from the page of its code.

use crate::error::Code;

const PAGES: &str = include_str!("../../docs/errors.md");

/// The paragraph "What to do" of a code, without marks.
pub(super) fn what_to_do(code: Code) -> String {
    let page = PAGES.split_once(&format!("\n### {code} ")).map_or("", |(_, page)| page);
    let page = page.split("\n### ").next().unwrap_or_default();
    let advice = page.split_once("**What to do:** ").map_or("", |(_, advice)| advice.split("\n\n").next().unwrap_or_default());
    let advice = advice.replace(['\n', '`'], " ");
    if advice.is_empty() {
        format!("see docs/errors.md, {code}")
    } else {
        advice.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::what_to_do;
    use crate::error::Code;

    #[test]
    fn the_page_is_found() {
        assert!(what_to_do(Code::new(8242)).starts_with("chmod 600"));
        assert_eq!(what_to_do(Code::new(7777)), "see docs/errors.md, CH-7777");
    }
}
