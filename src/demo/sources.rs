//! The legacy systems of the demo: databases as files, servers on loopback, senders of webhooks.

use std::{path::Path, sync::Arc};

use crate::{
    adapter::spec::AdapterSpec,
    simulate::{
        Error,
        serve::{
            mock::Mock,
            pull::{self, ASSIST_HALL, ELDERCARE, VOLUNTEER},
            push::{self, WEBHOOKS},
            soap::{self, SERVICES},
        },
        systems::{disability_subsidy, econ_verify, marriage, relief_donation, rural_dibao, social_org, temp_aid, urban_dibao},
    },
};

/// Secret between the demo's own senders and the hub; both live in this process.
const PUSH_SECRET: &str = "demo-push-secret";

const DATABASES: [(&str, &str); 8] = [
    (urban_dibao::SLUG, urban_dibao::DATABASE),
    (rural_dibao::SLUG, rural_dibao::DATABASE),
    (temp_aid::SLUG, temp_aid::DATABASE),
    (econ_verify::SLUG, econ_verify::DATABASE),
    (marriage::SLUG, marriage::DATABASE),
    (relief_donation::SLUG, relief_donation::DATABASE),
    (disability_subsidy::SLUG, disability_subsidy::DATABASE),
    (social_org::SLUG, social_org::DATABASE),
];

/// Starts the servers. Gives them, and the values for `${NAME}` in the adapters' files.
pub async fn start(dir: &Path) -> Result<(Vec<Mock>, Vec<(String, String)>), Error> {
    let mut values = Vec::new();
    for (slug, file) in DATABASES {
        let path = dir.join(slug).join(file);
        let path = std::path::absolute(&path).map_err(Error::file(&path))?;
        values.push((variable(slug, "URL"), format!("sqlite://{}", path.display())));
    }
    let mut mocks = Vec::new();
    for system in [ASSIST_HALL, ELDERCARE, VOLUNTEER] {
        let mock = pull::serve(dir, system, ([127, 0, 0, 1], 0).into()).await?;
        values.push((variable(system.slug, "URL"), format!("http://{}", mock.address)));
        values.push((variable(system.slug, "TOKEN"), pull::TOKEN.to_owned()));
        mocks.push(mock);
    }
    for slug in SERVICES {
        let mock = soap::serve(dir, slug, ([127, 0, 0, 1], 0).into()).await?;
        values.push((variable(slug, "URL"), format!("http://{}/", mock.address)));
        values.push((variable(slug, "USER"), soap::USER.to_owned()));
        values.push((variable(slug, "PASSWORD"), soap::USER.to_owned()));
        mocks.push(mock);
    }
    for webhook in WEBHOOKS {
        values.push((format!("{}_SECRET", webhook.secret), PUSH_SECRET.to_owned()));
    }
    Ok((mocks, values))
}

/// Posts the bodies of all webhooks that the hub has an adapter for, one system after the other.
pub async fn push(dir: &Path, base: &str, adapters: &[Arc<AdapterSpec>]) -> Result<(), Error> {
    for webhook in WEBHOOKS {
        if adapters.iter().any(|adapter| adapter.slug.as_str() == webhook.slug) {
            push::push(dir, webhook, base, PUSH_SECRET, &|_| {}).await?;
        }
    }
    Ok(())
}

/// `ASSIST_HALL_URL` for `assist-hall`.
fn variable(slug: &str, what: &str) -> String {
    format!("{}_{what}", slug.replace('-', "_").to_uppercase())
}
