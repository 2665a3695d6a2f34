//! `fund-payment`: the payroll files to the banks and the banks' answers.
//!
//! A batch is a county, a purpose (UD urban dibao, SA old-age allowance) and a month: `PAY<batch>.txt` goes out on the 10th,
//! `RET<batch>.txt` comes back within three days. Records have 100 bytes of GBK; a name of more than 30 bytes is cut, even
//! inside a character. A return file may miss lines and may tell a line twice. One payroll file has a header
//! sum that does not equal its details and must be refused whole.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::benefits;
use crate::simulate::calendar::{Month, compact, days_before};
use crate::simulate::faults::{self, Kind, Outcome};
use crate::simulate::names;
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::fixed::{BatchFile, Record, batch_path, cuts_character};

/// The system's slug.
pub const SLUG: &str = "fund-payment";
const PAY: &str = "PAY";
const RET: &str = "RET";
/// Complete months before this one that have been paid.
const MONTHS: i32 = 3;
/// Bytes of the payee's name.
const NAME_WIDTH: usize = 30;
/// Payees of ten thousand whose account is a guardian's, named in the field until it overflows.
const GUARDIAN: u64 = 20;
/// Payments of ten thousand in whose line another name stands beside the account, and those names: characters few names have.
const STRANGER: u64 = 60;
const STRANGERS: [&str; 2] = ["佟乃馨", "阙冉彤"];
/// Lines of ten thousand the bank does not answer.
const UNANSWERED: u64 = 100;
/// Lines in the file with a wrong header sum.
const SAMPLE: usize = 5;

/// The system under way.
pub struct FundPayment {
    start: Start,
    batches: BTreeMap<(&'static str, &'static str, Month), Batch>,
    sample: Vec<Payment>,
}

struct Batch {
    no: String,
    pay: BatchFile,
    ret: BatchFile,
}

#[derive(Clone)]
struct Payment {
    payee: String,
    account: String,
    fen: u64,
    purpose: &'static str,
    month: Month,
}

impl FundPayment {
    /// Starts without batches.
    pub fn open(start: Start) -> Self {
        Self { start, batches: BTreeMap::new(), sample: Vec::new() }
    }

    fn pay(&mut self, person: &Person, county: &'static str, payment: &Payment, truth: &mut Truth) -> Result<(), Error> {
        let folder = &self.start.folder;
        let batch = self.batches.entry((county, payment.purpose, payment.month)).or_insert_with(|| {
            let no = format!("{county}{}{}01", payment.purpose, payment.month.text());
            let (pay, ret) = (batch_path(folder, PAY, &no), batch_path(folder, RET, &no));
            Batch { no, pay: BatchFile::new(pay), ret: BatchFile::new(ret) }
        });
        let serial = batch.pay.details + 1;
        let key = format!("{}{serial:08}", batch.no);
        let line = batch.pay.push(detail('D', serial, payment, "", ""), payment.fen)?;
        let file = batch.pay.name();
        let spot = Spot { system: SLUG, object: PAY, file: &file, row: line, key: &key, parent: &batch.no };
        truth.row(&spot);
        truth.appears(&person.who, &spot, "no_number")?;
        if cuts_character(&payment.payee, NAME_WIDTH) {
            truth.fault(&spot, Kind::NameCut)?;
        }
        if self.sample.len() < SAMPLE {
            self.sample.push(payment.clone());
        }
        let mut random = Random::new(self.start.seed, SLUG, person.who.no);
        let mut random =
            Random::new(random.bits(), payment.purpose, u64::try_from(payment.month.day(1).to_julian_day()).unwrap_or(0));
        answer(self.start.seed, batch, serial, person, payment, &mut random, truth)
    }

    /// A payroll file whose header promises one fen more than the details hold.
    fn wrong_file(&self, truth: &mut Truth) -> Result<(), Error> {
        let Some(first) = self.batches.values().next() else { return Ok(()) };
        let Some(payment) = self.sample.first() else { return Ok(()) };
        let no = format!("{}99", &first.no[..14]);
        let mut batch = BatchFile::new(batch_path(&self.start.folder, PAY, &no));
        let file = batch.name();
        let whole = Spot { system: SLUG, object: PAY, file: &file, parent: &no, ..Spot::default() };
        for (place, payment) in self.sample.iter().enumerate() {
            let serial = place as u64 + 1;
            let key = format!("{no}{serial:08}");
            let line = batch.push(detail('D', serial, payment, "", ""), payment.fen)?;
            let spot = Spot { row: line, key: &key, ..whole };
            truth.row(&spot);
            truth.in_rejected_file(&spot);
        }
        let header = header(&no, payment.purpose, payment.month, batch.details, batch.fen + 1);
        batch.finish(header)?;
        truth.fault(&whole, Kind::WrongControlSum)
    }
}

#[async_trait]
impl System for FundPayment {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let county = family.place.county();
        for back in (1..=MONTHS).rev() {
            let month = Month::of(self.start.today).before(back);
            if let Some(dibao) = family.dibao.as_ref().filter(|dibao| dibao.paid(month)) {
                let head = &family.members[0];
                let payment = payment(self.start.seed, head, family, dibao.fen, "UD", month);
                self.pay(head, county, &payment, truth)?;
            }
            for elder in &family.members {
                if let Some(senior) = elder.senior.as_ref().filter(|senior| month <= senior.until) {
                    let payment = payment(self.start.seed, elder, family, senior.fen, "SA", month);
                    self.pay(elder, county, &payment, truth)?;
                }
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, truth: &mut Truth) -> Result<(), Error> {
        self.wrong_file(truth)?;
        for ((_, purpose, month), batch) in self.batches {
            let pay = header(&batch.no, purpose, month, batch.pay.details, batch.pay.fen);
            batch.pay.finish(pay)?;
            let ret = header(&batch.no, purpose, month, batch.ret.details, batch.ret.fen);
            batch.ret.finish(ret)?;
        }
        Ok(())
    }
}

fn payment(seed: u64, person: &Person, family: &Family, fen: u64, purpose: &'static str, month: Month) -> Payment {
    let own = names::in_gbk(&person.who.name);
    let guarded = Random::new(seed, "guardian", person.who.no).chance(GUARDIAN);
    let payee = if guarded {
        let guardian = family.members.last().map_or_else(String::new, |member| names::in_gbk(&member.who.name));
        format!("{own}(由监护人{guardian}代为领取民政补助资金)")
    } else {
        own
    };
    let mut stray =
        Random::new(seed, "stranger", person.who.no * 40_000 + u64::try_from(month.day(1).to_julian_day() % 40_000).unwrap_or(0));
    let stranger = STRANGERS.into_iter().find(|name| !name.chars().any(|letter| payee.contains(letter)));
    let payee = stranger.filter(|_| purpose == "UD" && !guarded && stray.chance(STRANGER)).map_or(payee, str::to_owned);
    Payment { payee, account: person.account.clone(), fen, purpose, month }
}

/// What rules can find in a payment: that its payee is dead (R1), that the account is another's (R8).
fn found(person: &Person, payment: &Payment, truth: &Truth) -> [bool; 2] {
    let no = person.who.no;
    let owner = if payment.purpose == "UD" {
        truth.known("owner", no).and_then(|_| truth.known("paid", no))
    } else {
        truth.known("senior", no)
    };
    let died = person.died.is_some_and(|day| Month::of(day) < payment.month);
    let stranger = payment.purpose == "UD" && STRANGERS.contains(&payment.payee.as_str()) && truth.known("paid", no).is_some();
    [died && owner.is_some() && truth.known("death", no).is_some(), stranger]
}

fn alerts(found: [bool; 2], person: &Person, spot: &Spot<'_>, truth: &mut Truth) -> Result<(), Error> {
    for (rule, found) in ["R1", "R8"].into_iter().zip(found) {
        if found {
            truth.alert(rule, &person.who, spot)?;
        }
    }
    Ok(())
}

/// The bank's line for a payment: missing, once, or twice.
fn answer(
    seed: u64,
    batch: &mut Batch,
    serial: u64,
    person: &Person,
    payment: &Payment,
    random: &mut Random,
    truth: &mut Truth,
) -> Result<(), Error> {
    let key = format!("{}{serial:08}", batch.no);
    let found = found(person, payment, truth);
    if random.chance(UNANSWERED) {
        return alerts(found, person, &Spot { system: SLUG, object: PAY, key: &key, ..Spot::default() }, truth);
    }
    let mut code = benefits::return_code(seed, person.who.no, payment.purpose, payment.month);
    let mut day = compact(days_before(payment.month.day(10), -random.between(1, 3)));
    let mut kind = cuts_character(&payment.payee, NAME_WIDTH).then_some(Kind::NameCut);
    if kind.is_none() && random.chance(faults::IMPOSSIBLE_DATE) {
        (day, kind) = (format!("{}0230", &day[..4]), Some(Kind::ImpossibleDate));
    } else if kind.is_none() && random.chance(faults::UNKNOWN_CODE) {
        (code, kind) = ("8888", Some(Kind::UnknownCode));
    }
    let twice = kind.is_none() && random.chance(faults::REPEAT);
    // A line that is refused leaves the payment as it was sent.
    let stands = code == "0000" || kind.is_some_and(|kind| kind.outcome() == Outcome::Rejected);
    let file = batch.ret.name();
    for pass in 0..=u64::from(twice) {
        let line = batch.ret.push(detail('R', serial, payment, code, &day), payment.fen)?;
        let spot = Spot { system: SLUG, object: RET, file: &file, row: line, key: &key, parent: &batch.no };
        truth.row(&spot);
        truth.appears(&person.who, &spot, "no_number")?;
        if pass == 0 && stands {
            alerts(found, person, &spot, truth)?;
        }
        let kind = if pass == 1 { Some(Kind::Repeat) } else { kind };
        kind.map_or(Ok(()), |kind| truth.fault(&spot, kind))?;
    }
    Ok(())
}

fn detail(kind: char, serial: u64, payment: &Payment, code: &str, day: &str) -> Record {
    Record::new(kind)
        .number(serial, 8)
        .text(&payment.payee, NAME_WIDTH)
        .text(&payment.account, 32)
        .number(payment.fen, 12)
        .text(code, 4)
        .text(day, 8)
}

fn header(batch: &str, purpose: &str, month: Month, details: u64, fen: u64) -> Record {
    Record::new('H')
        .text(batch, 16)
        .text(purpose, 3)
        .text(&month.text(), 6)
        .number(details, 8)
        .number(fen, 14)
        .text(&compact(month.day(10)), 8)
}
