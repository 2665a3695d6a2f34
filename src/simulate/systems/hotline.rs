//! `hotline`: events of the call centre, one JSON body a line in the order of arrival.
//!
//! A call gives one event, a complaint several as it is assigned and concluded. Each has a running `seq`; the later event sometimes
//! arrives before the earlier one, which then is superseded. Some bodies come twice.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{age, compact, days_before, moment, working_hour};
use crate::simulate::faults::{self, Kind};
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::lines::Lines;

/// The system's slug.
pub const SLUG: &str = "hotline";
/// The file with the bodies.
pub const FILE: &str = "events.ndjson";
const OBJECT: &str = "event";
/// Adults of ten thousand who called in the last two months.
const CALLS: u64 = 200;
/// Categories by the hub's list; four calls of five ask for advice.
const COMPLAINTS: [&str; 7] = ["01", "02", "03", "04", "06", "07", "09"];
/// Complaints of ten thousand that are assigned and speak of the unit they are assigned to.
const OWN_UNIT: u64 = 2_500;
const STEPS: [&str; 4] = ["已登记", "已转办", "核查中", "已办结"];
const WORDS: [&str; 4] = [
    "反映该户家庭条件较好，不应享受低保，请核实。",
    "反映申请提交后长期未办理，请督促。",
    "反映窗口人员服务态度生硬。",
    "反映邻居有轿车仍领取低保金。",
];

/// The system under way.
pub struct Hotline {
    start: Start,
    out: Lines,
}

impl Hotline {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(start: Start) -> Result<Self, Error> {
        let out = Lines::create(&start.folder, FILE)?;
        Ok(Self { start, out })
    }

    fn call(&mut self, caller: &Person, family: &Family, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        let day = days_before(self.start.today, random.between(5, 60));
        let second = working_hour(random);
        let key = format!("RX{}{:08}", compact(day), caller.who.no);
        let advice = random.chance(8_000);
        let steps = if advice { 1 } else { 1 + random.index(STEPS.len()) };
        let mut event = json!({
            "callId": key,
            "caller": caller.mobile,
            "category": if advice { "08" } else { random.pick(&COMPLAINTS) },
            "divisionCode": family.place.code,
            "content": if advice { "咨询低保申请条件和所需材料。" } else { random.pick(&WORDS) },
        });
        if !advice {
            // The neighbour complained about: an invented surname is all a caller gives.
            event["targetName"] = json!(format!("{}某", random.pick(&["王", "李", "张", "刘", "赵", "孙"])));
        }
        let disorder = steps > 1 && random.chance(600);
        let county = format!("{}000000", family.place.county());
        // About the county's own bureau, and handed to it (rule R10): without other faults.
        let own = steps > 1 && !disorder && Random::new(self.start.seed, "own-unit", caller.who.no).chance(OWN_UNIT);
        if own {
            event["divisionCode"] = json!(county);
        }
        for step in order(steps, disorder) {
            event["seq"] = json!(step + 1);
            if step > 0 {
                event["handlerCode"] = json!(county);
            }
            event["status"] = json!(if advice { "当场答复" } else { STEPS[step] });
            event["eventTime"] = json!(moment(days_before(day, -i64::try_from(step).unwrap_or(0)), second));
            // A refused event could not supersede one: calls in disorder are without other faults.
            let fault = if disorder || own { Some((disorder && step + 2 == steps).then_some(Kind::Stale)) } else { None };
            self.event(&key, event.clone(), fault, caller, random, truth)?;
        }
        if own {
            truth.alert("R10", &caller.who, &Spot { system: SLUG, object: OBJECT, file: FILE, key: &key, ..Spot::default() })?;
        }
        Ok(())
    }

    fn event(
        &mut self,
        key: &str,
        mut event: Value,
        fault: Option<Option<Kind>>,
        caller: &Person,
        random: &mut Random,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        let offers = [Kind::ImpossibleDate, Kind::UnknownCode, Kind::UnknownDivision];
        let kind = fault.unwrap_or_else(|| faults::plant(None, &offers, random));
        match kind {
            Some(Kind::ImpossibleDate) => event["eventTime"] = json!("2017-02-30 10:00:00"),
            Some(Kind::UnknownCode) => event["category"] = json!("77"),
            Some(Kind::UnknownDivision) => event["divisionCode"] = json!("229999001001"),
            _ => {}
        }
        let twice = fault.is_none() && kind.is_none() && random.chance(faults::REPEAT);
        for pass in 0..=u8::from(twice) {
            let line = self.out.push(&event)?;
            let spot = Spot { system: SLUG, object: OBJECT, file: FILE, row: line, key, parent: "" };
            let kind = if pass == 1 { Some(Kind::Repeat) } else { kind };
            truth.tell(&spot, Some((&caller.who, "no_number")), kind)?;
        }
        Ok(())
    }
}

#[async_trait]
impl System for Hotline {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        for person in &family.members {
            let able = age(person.who.birth, self.start.today) >= 18 && person.died.is_none();
            if able && random.chance(CALLS) {
                self.call(person, family, &mut random, truth)?;
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.out.finish()
    }
}

/// The steps as they arrive: in disorder the last two change places.
fn order(steps: usize, disorder: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..steps).collect();
    if disorder {
        order.swap(steps - 2, steps - 1);
    }
    order
}
