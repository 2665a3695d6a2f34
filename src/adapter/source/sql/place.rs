//! The position of the SQL source: a cursor and the memory of what was emitted lately.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::query::Cursor;
use crate::adapter::source::{Position, watermark::Kind, window::Window};

/// As it stands in the store.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    watermark: Option<String>,
    /// Absent: rows with the watermark itself are included.
    key: Option<Vec<String>>,
    /// The last row read, from which an exact cursor can be made.
    last: Option<(String, Vec<String>)>,
    high: Option<i64>,
    floor: Option<i64>,
    checked: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<String>,
    window: Value,
}

/// Where reading goes on.
#[derive(Default)]
pub struct Place {
    pub cursor: Cursor,
    /// The furthest row, by watermark.
    last: Option<(String, Vec<String>)>,
    high: Option<i64>,
    /// The window has forgotten rows before this place: looking back ends here.
    floor: Option<i64>,
    /// The day of the last report of unreadable rows.
    pub checked: String,
    /// Where this run of pages ends, if the object has an upper bound.
    pub bound: Option<String>,
    window: Window,
}

impl Place {
    pub fn of(position: &Position) -> Self {
        let stored: Stored = serde_json::from_value(position.0.clone()).unwrap_or_default();
        let cursor = match (stored.watermark, stored.key) {
            (None, _) => Cursor::Start,
            (Some(mark), None) => Cursor::From(mark),
            (Some(mark), Some(key)) => Cursor::After(mark, key),
        };
        let window = Window::from_json(&stored.window);
        Self {
            cursor,
            last: stored.last,
            high: stored.high,
            floor: stored.floor,
            checked: stored.checked,
            bound: stored.bound,
            window,
        }
    }

    pub fn position(self) -> Position {
        let (watermark, key) = match self.cursor {
            Cursor::Start => (None, None),
            Cursor::From(mark) => (Some(mark), None),
            Cursor::After(mark, key) => (Some(mark), Some(key)),
        };
        let window = self.window.to_json();
        let (last, high, floor) = (self.last, self.high, self.floor);
        let stored = Stored { watermark, key, last, high, floor, checked: self.checked, bound: self.bound, window };
        Position(serde_json::to_value(stored).unwrap_or_default())
    }

    /// Moves past a row; true when it was not emitted before with this content.
    pub fn step(&mut self, kind: Kind, mark: &str, key: &[String], print: u64) -> bool {
        self.cursor = Cursor::After(mark.to_owned(), key.to_vec());
        if kind == Kind::Text {
            self.last = Some((mark.to_owned(), key.to_vec()));
            return true;
        }
        // A stamp that cannot be read is remembered with the newest one that could.
        let units = kind.units(mark).or(self.high).unwrap_or_default();
        if self.high.is_none_or(|high| units >= high) {
            self.high = Some(units);
            self.last = Some((mark.to_owned(), key.to_vec()));
        }
        self.window.insert(units, print)
    }

    /// Forgets what lies before the overlap, and what does not fit.
    pub fn trim(&mut self, overlap: i64) {
        let Some(high) = self.high else { return };
        self.window.forget_before(high.saturating_sub(overlap));
        if self.window.shrink() {
            self.floor = Some(self.window.oldest().unwrap_or_else(|| high.saturating_add(1)));
        }
    }

    /// The end is reached: the next poll begins `overlap` before the newest row, or where the memory begins.
    pub fn rewind(&mut self, kind: Kind, overlap: i64) {
        self.trim(overlap);
        self.bound = None;
        let (Some(high), Some((mark, key))) = (self.high, &self.last) else { return };
        let from = high.saturating_sub(overlap).max(self.floor.unwrap_or(i64::MIN));
        let looked_back = if from <= high { kind.text(from, mark) } else { None };
        self.cursor = match looked_back {
            Some(text) => Cursor::From(text),
            None => Cursor::After(mark.clone(), key.clone()),
        };
    }
}
