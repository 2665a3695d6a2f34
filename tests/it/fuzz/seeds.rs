//! Seeds from what the project has anyway: the samples of the adapters and the examples of the schemas.

use std::{fs, io::Read, path::Path};

use civilhub::adapter::{
    sample,
    spec::{AdapterSpec, ObjectSpec, SourceKind, load_all},
};
use serde_json::{Value, json};

use super::root;

/// Longer samples make mutations slow.
const LONGEST: usize = 16 * 1024;

/// The seeds of a target: a name to find it by, and the bytes.
pub fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds = match target {
        "schema" => examples(),
        "programs" => rows(),
        "functions" => values(),
        "compile" => programs(),
        "dbf" => samples(target).into_iter().chain(with_memos()).collect(),
        _ => samples(target),
    };
    seeds.retain(|(_, bytes)| bytes.len() <= LONGEST);
    seeds
}

fn specs() -> Vec<AdapterSpec> {
    let (specs, faults) = load_all(&root().join("adapters"));
    assert!(faults.is_empty(), "{faults:?}");
    specs
}

/// Samples of each object with the object's name in front, for each target that reads such bytes.
fn each_sample(mut each: impl FnMut(&AdapterSpec, &ObjectSpec, &Path)) {
    for spec in specs() {
        let mut files: Vec<_> = fs::read_dir(spec.dir.join("samples")).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        for path in files {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (lower, _) = name.split_once('.').unwrap();
            let object = spec.objects.iter().find(|object| object.name.to_lowercase() == lower);
            if let Some(object) = object.filter(|_| !name.ends_with(".expected.ndjson")) {
                each(&spec, object, &path);
            }
        }
    }
}

fn samples(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    each_sample(|spec, object, path| {
        let Some((with_label, of)) = reads(target, spec, object, path) else { return };
        let mut bytes = if with_label { format!("{}/{}\n", spec.slug, object.name).into_bytes() } else { Vec::new() };
        bytes.extend(of);
        seeds.push((path.display().to_string(), bytes));
    });
    seeds
}

/// The bytes of a sample for a target, and whether the object's name goes in front.
fn reads(target: &str, spec: &AdapterSpec, object: &ObjectSpec, path: &Path) -> Option<(bool, Vec<u8>)> {
    let option = |name: &str| object.options.get(name).and_then(toml::Value::as_str);
    let ending = path.extension()?.to_str()?;
    let (file, archived) = (spec.kind == SourceKind::File, object.options.contains_key("archive"));
    let bytes = || fs::read(path).unwrap();
    let wanted = match target {
        "csv" | "fixed" | "xlsx" => file && option("format") == Some(target),
        "dbf" => file && option("format") == Some("dbf") && !archived,
        "archive" => archived,
        "soap" => spec.kind == SourceKind::Soap,
        "push" => spec.kind == SourceKind::HttpPush,
        "pull" => spec.kind == SourceKind::HttpPull,
        "ndjson" => ending == "ndjson",
        "json" | "guard" => ending == "json",
        "xml" => ending == "xml" && spec.kind == SourceKind::HttpPush,
        "charset" | "sniff" => file && !archived,
        _ => false,
    };
    let labelled = !matches!(target, "ndjson" | "json" | "guard" | "charset" | "sniff" | "xml");
    wanted.then(|| (labelled, bytes()))
}

/// A table with its memos from every archive of such.
fn with_memos() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    each_sample(|spec, object, path| {
        if !object.options.contains_key("archive") {
            return;
        }
        let Ok(mut archive) = zip::ZipArchive::new(fs::File::open(path).unwrap()) else { return };
        let mut inflate = |ending: &str| {
            let index =
                (0..archive.len()).find(|index| archive.by_index(*index).unwrap().name_raw().ends_with(ending.as_bytes()))?;
            let mut bytes = Vec::new();
            archive.by_index(index).unwrap().read_to_end(&mut bytes).ok()?;
            Some(bytes)
        };
        if let (Some(table), Some(memos)) = (inflate(".DBF"), inflate(".FPT")) {
            let label = format!("{}/{}\n", spec.slug, object.name).into_bytes();
            seeds.push((path.display().to_string(), [label, table, b"--fpt--".to_vec(), memos].concat()));
        }
    });
    seeds
}

/// Valid and invalid records of every schema.
fn examples() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let mut datasets: Vec<_> = fs::read_dir(root().join("schemas")).unwrap().map(|entry| entry.unwrap().path()).collect();
    datasets.sort();
    for dataset in datasets {
        for kind in ["valid", "invalid"] {
            let Ok(files) = fs::read_dir(dataset.join("examples").join(kind)) else { continue };
            let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            files.sort();
            for file in files {
                let label = format!("{}/v1\n", dataset.file_name().unwrap().to_str().unwrap());
                seeds.push((file.display().to_string(), [label.into_bytes(), fs::read(&file).unwrap()].concat()));
            }
        }
    }
    seeds
}

/// The rows of all samples, as programs see them.
fn rows() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    each_sample(|spec, object, path| {
        let Ok((rows, _)) = sample::rows_of(spec, object, path) else { return };
        for row in rows.into_iter().take(3) {
            let mut data = row.data;
            data["%"] = row.meta;
            seeds.push((path.display().to_string(), format!("{}/{}\n{data}", spec.slug, object.name).into_bytes()));
        }
    });
    seeds
}

/// Each function of programs with values that mean something to one of them.
fn values() -> Vec<(String, Vec<u8>)> {
    let texts = [
        "220171197001010053",
        "220171700101005",
        "91220171MA00000000",
        "6217990220171234560",
        "105241000000",
        "2017年7月3日 9:00",
        "20170703090000",
        "201707",
        "220105004",
        "临河街道",
        "1,480.50元",
        "48000",
        "¼ªÁÖÊ¡",
        "男",
        "13844000000",
    ];
    let values: Vec<Value> =
        texts.iter().map(|text| json!(text)).chain([json!(null), json!(48_000), json!(1.5), json!([])]).collect();
    let names = civilhub::adapter::map::functions::catalogue();
    let each = |(name, _): &(&str, &str)| values.iter().map(move |value| format!("{name}\n{value}")).collect::<Vec<_>>();
    names.iter().flat_map(each).map(|text| (text.clone(), text.into_bytes())).collect()
}

/// The programs of all adapters.
fn programs() -> Vec<(String, Vec<u8>)> {
    let of = |object: &ObjectSpec| (object.program.display().to_string(), fs::read(&object.program).unwrap());
    specs().iter().flat_map(|spec| spec.objects.iter().map(of).collect::<Vec<_>>()).collect()
}
