//! The simulated systems: each turns the same families into its own files.

use std::path::PathBuf;

use async_trait::async_trait;
use time::Date;

use super::places::Places;
use super::population::Family;
use super::truth::Truth;
use super::{Error, Options};

pub mod assist_hall;
pub mod assist_oversight;
pub mod child_adoption;
pub mod community_platform;
pub mod disability_subsidy;
pub mod disaster_report;
pub mod disclosure;
pub mod econ_verify;
pub mod eldercare;
pub mod fund_payment;
pub mod funeral;
pub mod grassroots_registry;
pub mod hotline;
pub mod marriage;
pub mod med_aid;
pub mod relief_donation;
pub mod rural_dibao;
pub mod rural_welfare;
pub mod senior_allowance;
pub mod shelter;
pub mod smart_community;
pub mod social_org;
pub mod tekun;
pub mod temp_aid;
pub mod urban_dibao;
pub mod veterans_benefit;
pub mod veterans_placement;
pub mod volunteer;

/// A legacy system that writes down the families it knows.
#[async_trait]
pub trait System: Send {
    /// Takes one family, in the order of the population.
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error>;

    /// Writes what had to wait for the last family, and closes the files.
    async fn finish(self: Box<Self>, places: &Places, truth: &mut Truth) -> Result<(), Error>;
}

/// What every system needs to start.
#[derive(Debug, Clone)]
pub struct Start {
    /// The system's own folder; it exists.
    pub folder: PathBuf,
    /// Decides every draw.
    pub seed: u64,
    /// The day the exports are drawn.
    pub today: Date,
    /// Size of the whole population.
    pub persons: u64,
}

/// Opens all systems, each in `<out>/<slug>`.
///
/// # Errors
/// When a folder or file cannot be made.
pub async fn open(options: &Options) -> Result<Vec<Box<dyn System>>, Error> {
    Ok(vec![
        // Who died comes first: the others know by it which payments rules can find.
        Box::new(funeral::Funeral::open(start(options, funeral::SLUG)?)),
        Box::new(urban_dibao::UrbanDibao::open(start(options, urban_dibao::SLUG)?).await?),
        Box::new(senior_allowance::SeniorAllowance::open(start(options, senior_allowance::SLUG)?)?),
        Box::new(fund_payment::FundPayment::open(start(options, fund_payment::SLUG)?)),
        Box::new(assist_hall::AssistHall::open(&start(options, assist_hall::SLUG)?)?),
        Box::new(disaster_report::DisasterReport::open(start(options, disaster_report::SLUG)?)),
        Box::new(rural_dibao::RuralDibao::open(start(options, rural_dibao::SLUG)?).await?),
        Box::new(temp_aid::TempAid::open(start(options, temp_aid::SLUG)?).await?),
        Box::new(econ_verify::EconVerify::open(start(options, econ_verify::SLUG)?).await?),
        Box::new(marriage::Marriage::open(start(options, marriage::SLUG)?).await?),
        Box::new(relief_donation::ReliefDonation::open(start(options, relief_donation::SLUG)?).await?),
        Box::new(disability_subsidy::DisabilitySubsidy::open(start(options, disability_subsidy::SLUG)?).await?),
        Box::new(social_org::SocialOrg::open(start(options, social_org::SLUG)?).await?),
        Box::new(disclosure::Disclosure::open(start(options, disclosure::SLUG)?)?),
        Box::new(veterans_placement::VeteransPlacement::open(start(options, veterans_placement::SLUG)?)?),
        Box::new(veterans_benefit::VeteransBenefit::open(start(options, veterans_benefit::SLUG)?)),
        Box::new(eldercare::Eldercare::open(start(options, eldercare::SLUG)?)?),
        Box::new(volunteer::Volunteer::open(start(options, volunteer::SLUG)?)?),
        Box::new(hotline::Hotline::open(start(options, hotline::SLUG)?)?),
        Box::new(community_platform::CommunityPlatform::open(start(options, community_platform::SLUG)?)?),
        Box::new(smart_community::SmartCommunity::open(start(options, smart_community::SLUG)?)?),
        Box::new(tekun::Tekun::open(start(options, tekun::SLUG)?)),
        Box::new(med_aid::MedAid::open(start(options, med_aid::SLUG)?)),
        Box::new(child_adoption::ChildAdoption::open(start(options, child_adoption::SLUG)?)),
        Box::new(shelter::Shelter::open(start(options, shelter::SLUG)?)),
        Box::new(assist_oversight::AssistOversight::open(start(options, assist_oversight::SLUG)?)),
        Box::new(rural_welfare::RuralWelfare::open(start(options, rural_welfare::SLUG)?)),
        Box::new(grassroots_registry::GrassrootsRegistry::open(start(options, grassroots_registry::SLUG)?)),
    ])
}

fn start(options: &Options, slug: &str) -> Result<Start, Error> {
    let folder = options.out.join(slug);
    std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    Ok(Start { folder, seed: options.seed, today: options.today, persons: options.persons })
}
