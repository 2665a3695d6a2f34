//! `smart-community`: four vendors, four dialects of one webhook, a file of bodies each.
//!
//! 东站 writes camelCase and epoch milliseconds, 建国 Chinese keys and `yyyy-MM-dd HH:mm:ss`, 丰满 snake_case and epoch
//! seconds, 船营 XML in GBK and fourteen digits. The grid is the community's code and three digits; most events name nobody.

use async_trait::async_trait;
use serde_json::json;
use time::Date;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{age, clock, compact, days_before, moment};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::names;
use crate::simulate::places::{Place, Places};
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::lines::Lines;

/// The system's slug.
pub const SLUG: &str = "smart-community";
/// The files of bodies; 船营's are XML.
pub const FILES: [&str; 4] = ["dongzhan.ndjson", "jianguo.ndjson", "fengman.ndjson", "chuanying.gbk"];
/// Paths below the hub's intake, and objects, in the same order.
pub const DIALECTS: [&str; 4] = ["dongzhan", "jianguo", "fengman", "chuanying"];
/// Their subdistricts or districts: 二道区东站街道, 临江市建国街道, 丰满区, 船营区.
const PLACES: [&str; 4] = ["220105004", "220681001", "220211", "220204"];

const HABITS: Habits = Habits { missing: 6_000, lower_case_x: false, gbk: false, padded_names: false };
/// Adults of ten thousand who reported something in the last month, were they in the right place.
const REPORTS: u64 = 6_000;
/// Types and states as the vendors write them.
const TYPES: [[&str; 3]; 4] = [
    ["临时救助", "低保申请", "居家养老"],
    ["高龄津贴", "老年优待证", "急难救助"],
    ["home_care", "dibao", "temp_aid"],
    ["LS", "DB", "YL"],
];
/// See [`TYPES`].
const STATES: [[&str; 3]; 4] =
    [["已受理", "处理中", "已办结"], ["新建", "办理中", "办结"], ["accepted", "processing", "done"], ["1", "2", "3"]];

/// The system under way.
pub struct SmartCommunity {
    start: Start,
    files: Vec<Lines>,
    rows: u64,
}

/// An event before it is put into a dialect.
struct Event<'a> {
    id: &'a str,
    grid: &'a str,
    kind: &'a str,
    name: &'a str,
    number: &'a str,
    mobile: &'a str,
    status: &'a str,
    day: Date,
    second: i64,
}

impl SmartCommunity {
    /// Opens the files.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn open(start: Start) -> Result<Self, Error> {
        let files = FILES.into_iter().map(|file| lines(&start, file)).collect::<Result<_, _>>()?;
        Ok(Self { start, files, rows: 0 })
    }

    fn event(&mut self, dialect: usize, person: &Person, place: Place, truth: &mut Truth) -> Result<(), Error> {
        self.rows += 1;
        let mut random = Random::new(self.start.seed, SLUG, person.who.no);
        let recorded = Recorded::draw(&person.who, HABITS, &mut random).number_optional();
        let kind = faults::plant(recorded.kind, &[Kind::UnknownCode, Kind::UnknownDivision], &mut random);
        let id = format!("{}{:09}", ["DZ", "JG", "FM", "CY"][dialect], self.rows);
        let community = if kind == Some(Kind::UnknownDivision) { "229999001001" } else { place.code };
        let grid = format!("{community}{:03}", 1 + random.below(12));
        let event = Event {
            id: &id,
            grid: &grid,
            kind: if kind == Some(Kind::UnknownCode) { "ufo" } else { TYPES[dialect][random.index(3)] },
            name: if recorded.number.is_empty() { "" } else { &recorded.name },
            number: &recorded.number,
            mobile: if recorded.number.is_empty() { "" } else { &person.mobile },
            status: STATES[dialect][random.index(3)],
            day: days_before(self.start.today, random.between(1, 30)),
            second: random.between(6 * 3_600, 22 * 3_600),
        };
        let twice = kind.is_none() && random.chance(faults::REPEAT);
        for pass in 0..=u8::from(twice) {
            let line = self.files[dialect].push(&body(dialect, &event))?;
            let spot = Spot { system: SLUG, object: DIALECTS[dialect], file: FILES[dialect], row: line, key: &id, parent: "" };
            let kind = if pass == 1 { Some(Kind::Repeat) } else { kind };
            let person = (!recorded.number.is_empty()).then(|| (&person.who, recorded.note()));
            truth.tell(&spot, person.as_ref().map(|(who, note)| (*who, note.as_str())), kind)?;
        }
        Ok(())
    }
}

#[async_trait]
impl System for SmartCommunity {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let Some(dialect) = dialect(family) else { return Ok(()) };
        let mut random = Random::new(self.start.seed, "grid-event", family.no);
        for person in &family.members {
            let able = age(person.who.birth, self.start.today) >= 16 && person.died.is_none();
            if able && random.chance(REPORTS) {
                self.event(dialect, person, family.place, truth)?;
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.files.into_iter().try_for_each(Lines::finish)
    }
}

fn lines(start: &Start, file: &'static str) -> Result<Lines, Error> {
    if file.ends_with(".gbk") { Lines::create_gbk(&start.folder, file) } else { Lines::create(&start.folder, file) }
}

/// The vendor of a family's community, if it has one.
fn dialect(family: &Family) -> Option<usize> {
    PLACES.iter().position(|place| family.place.urban && family.place.code.starts_with(place))
}

fn body(dialect: usize, event: &Event<'_>) -> String {
    let Event { id, grid, kind, name, number, mobile, status, day, second } = *event;
    let unix = (i64::from(day.to_julian_day()) - 2_440_588) * 86_400 + second - 8 * 3_600;
    match dialect {
        0 => json!({ "eventId": id, "gridCode": grid, "type": kind, "status": status, "residentIdCard": number,
            "residentName": name, "residentMobile": mobile, "ts": unix * 1_000 })
        .to_string(),
        1 => json!({ "总数": 1, "数据": [{ "事件编号": id, "网格编码": grid, "类型": kind, "状态": status, "身份证号": number,
            "居民姓名": name, "手机": mobile, "时间": moment(day, second) }] })
        .to_string(),
        2 => json!({ "events": [{ "id": id, "grid_code": grid, "type": kind, "status": status, "resident_id_card": number,
            "resident_name": name, "resident_mobile": mobile, "ts": unix }] })
        .to_string(),
        _ => format!(
            "<?xml version=\"1.0\" encoding=\"GBK\"?><EVENTS><EVENT><ID>{id}</ID><GRIDCODE>{grid}</GRIDCODE><TYPE>{kind}</TYPE>\
             <STATUS>{status}</STATUS><RESIDENTIDCARD>{number}</RESIDENTIDCARD><RESIDENTNAME>{}</RESIDENTNAME>\
             <RESIDENTMOBILE>{mobile}</RESIDENTMOBILE><TS>{}{}</TS></EVENT></EVENTS>",
            names::in_gbk(name),
            compact(day),
            clock(second).replace(':', "")
        ),
    }
}
