//! `civilhub adapter docs`: a page per adapter with the lineage of its fields, and a catalogue of datasets, sources and receivers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{
    Studied,
    coverage::{self, Fate, ignore_key},
    fields,
    flow::Path,
    study,
};
use crate::{
    adapter::spec::AdapterSpec,
    govern::{Agreements, partner::Transport},
    schema::{Field, Kind, SchemaRegistry},
};

/// What a level of sensitivity means, by its number.
const LEVELS: [&str; 4] = ["0 public", "1 internal", "2 personal", "3 sensitive"];

/// File name and text of every page.
pub fn pages(specs: &[AdapterSpec], registry: &SchemaRegistry, agreements: &Agreements) -> Vec<(String, String)> {
    let mut pages = vec![("README.md".to_owned(), catalogue(specs, registry, agreements))];
    pages.extend(specs.iter().map(|spec| (format!("{}.md", spec.slug), page(spec, registry))));
    pages
}

/// A cell of a table: one line, no bars.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn level(sensitivity: u8) -> &'static str {
    LEVELS.get(usize::from(sensitivity)).copied().unwrap_or("-")
}

fn page(spec: &AdapterSpec, registry: &SchemaRegistry) -> String {
    let mut text = format!("# {} (`{}`)\n\nMade by `civilhub adapter docs`: do not edit.\n\n", cell(&spec.name), spec.slug);
    let _ = writeln!(
        text,
        "Owner: {}. Source: `{}`, read every {} seconds.",
        cell(&spec.owner),
        spec.kind.as_str(),
        spec.every.as_secs()
    );
    let studied = study(spec);
    for one in &studied {
        object(&mut text, spec, &studied, one, registry);
    }
    text
}

fn object(text: &mut String, spec: &AdapterSpec, all: &[Studied<'_>], one: &Studied<'_>, registry: &SchemaRegistry) {
    let datasets: Vec<String> = one.object.datasets.iter().map(|dataset| format!("`{dataset}`")).collect();
    let _ = writeln!(
        text,
        "\n## {}\n\nKey: `{}`. Datasets: {}.\n",
        one.object.name,
        one.object.key.join("`, `"),
        datasets.join(", ")
    );
    text.push_str("| source field | canonical field | name | sensitivity | translated by |\n|---|---|---|---|---|\n");
    let targets = targets(one);
    for path in fields::of_object(one, &fields::samples(spec, one.object)).keys() {
        let lists: Vec<&str> = one.flow.lists_of(path).into_iter().collect();
        let lists = lists.join(", ");
        let of_path: BTreeSet<&(String, String)> =
            targets.iter().filter(|(source, _)| source.meets(path)).flat_map(|(_, targets)| targets).collect();
        for (dataset, pointer) in &of_path {
            let field = field_at(registry, dataset, pointer);
            let name = field.map_or("", |field| field.name_zh.as_str());
            // Only a code is translated; other fields of the row merely lie beside it.
            let coded = field.is_some_and(|field| matches!(field.kind, Kind::Code(_) | Kind::Array));
            let lists = if coded { lists.as_str() } else { "" };
            let sensitivity = field.map_or("-", |field| level(field.sensitivity));
            let _ = writeln!(text, "| `{path}` | `{dataset}{pointer}` | {} | {sensitivity} | {lists} |", cell(name));
        }
        if of_path.is_empty() {
            let fate = fate(spec, all, one, path);
            let _ = writeln!(text, "| `{path}` | {} | | - | {lists} |", cell(&fate));
        }
    }
    let constants: Vec<String> = one
        .flow
        .lineage()
        .iter()
        .filter(|(_, from)| from.is_empty())
        .map(|((dataset, pointer), _)| format!("`{dataset}{pointer}`"))
        .collect();
    if !constants.is_empty() {
        let _ = writeln!(text, "\nThe same in every record: {}.", constants.join(", "));
    }
}

/// What becomes of a field that goes into no record.
fn fate(spec: &AdapterSpec, all: &[Studied<'_>], one: &Studied<'_>, path: &Path) -> String {
    match coverage::fate(spec, all, one, path) {
        Fate::Mapped if one.flow.reads(path) => "read, but in no record: key, division, time, or a check".to_owned(),
        Fate::Mapped => "mapped with the object of its table".to_owned(),
        Fate::Ignored => {
            let key = ignore_key(&spec.ignore, &one.object.name, path);
            format!("ignored: {}", key.and_then(|key| spec.ignore.get(key)).map_or("", String::as_str))
        }
        Fate::Source => "the source polls or joins by it".to_owned(),
        Fate::Unmapped => "not mapped".to_owned(),
    }
}

/// Canonical fields by the source field they are made from.
fn targets(one: &Studied<'_>) -> BTreeMap<Path, BTreeSet<(String, String)>> {
    let mut targets: BTreeMap<Path, BTreeSet<(String, String)>> = BTreeMap::new();
    for (target, sources) in one.flow.lineage() {
        for source in sources {
            targets.entry(source).or_default().insert(target.clone());
        }
    }
    targets
}

fn field_at<'a>(registry: &'a SchemaRegistry, dataset: &str, pointer: &str) -> Option<&'a Field> {
    // The items of a list of plain values are the list.
    let pointer = pointer.trim_end_matches("/*");
    registry.latest(&dataset.into())?.fields.iter().find(|field| field.pointer == pointer)
}

#[allow(clippy::too_many_lines, reason = "one page, written from top to bottom")]
fn catalogue(specs: &[AdapterSpec], registry: &SchemaRegistry, agreements: &Agreements) -> String {
    let mut text = "# Catalogue\n\nMade by `civilhub adapter docs`: do not edit.\n\n## Datasets\n\n".to_owned();
    text.push_str("| dataset | name | fields | highest sensitivity | sources | receivers |\n|---|---|---|---|---|---|\n");
    for schema in registry.iter() {
        let sources = specs.iter().filter(|spec| writes(spec, schema.dataset.as_str()));
        let sources: Vec<String> = sources.map(|spec| format!("[`{0}`]({0}.md)", spec.slug)).collect();
        let receivers = agreements
            .partners()
            .iter()
            .filter(|partner| partner.agreements.iter().any(|one| one.dataset == schema.dataset.as_str()));
        let receivers: Vec<String> = receivers.map(|partner| format!("`{}`", partner.slug)).collect();
        let highest = schema.fields.iter().map(|field| field.sensitivity).max().unwrap_or_default();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} |",
            schema.id(),
            cell(&schema.title),
            schema.leaves().count(),
            level(highest),
            sources.join(", "),
            receivers.join(", ")
        );
    }
    text.push_str("\n## Sources\n\n| system | name | owner | source | objects | datasets |\n|---|---|---|---|---|---|\n");
    for spec in specs {
        let objects: Vec<&str> = spec.objects.iter().map(|object| object.name.as_str()).collect();
        let datasets: BTreeSet<&str> =
            spec.objects.iter().flat_map(|object| &object.datasets).map(|dataset| dataset.as_str()).collect();
        let datasets: Vec<&str> = datasets.into_iter().collect();
        let _ = writeln!(
            text,
            "| [`{0}`]({0}.md) | {1} | {2} | {3} | {4} | {5} |",
            spec.slug,
            cell(&spec.name),
            cell(&spec.owner),
            spec.kind.as_str(),
            objects.join(", "),
            datasets.join(", ")
        );
    }
    text.push_str(
        "\n## Receivers\n\n| receiver | name | transport | dataset | purpose | fields | until |\n|---|---|---|---|---|---|---|\n",
    );
    for partner in agreements.partners() {
        let transport = match &partner.transport {
            Transport::Lake => "lake",
            Transport::Webhook(_) => "webhook",
            Transport::Mailbox(_) => "mailbox",
        };
        for one in &partner.agreements {
            let _ = writeln!(
                text,
                "| `{}` | {} | {transport} | `{}` | {} | {} | {} |",
                partner.slug,
                cell(&partner.name),
                one.dataset,
                cell(&one.purpose),
                one.fields.len(),
                one.valid_to
            );
        }
    }
    text
}

fn writes(spec: &AdapterSpec, dataset: &str) -> bool {
    spec.objects.iter().any(|object| object.datasets.iter().any(|name| name.as_str() == dataset))
}
