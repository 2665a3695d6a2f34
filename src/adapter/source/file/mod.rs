//! Files in a drop folder, `<inbox>/<system>/`, read in the order of their names.
//!
//! A file's life: settled -> digest -> verified as a whole -> rows in batches -> position says `read` -> noted in
//! `file_seen` -> moved to `.done/`. Each step can be repeated after a crash: rows come again with the same origin, and
//! what follows the position is done again from the position. A file that several objects read, such as a workbook with
//! several sheets, is moved by the last of them. A file that fails as a whole gives one bad row and goes to
//! `.quarantine/` beside a `.fault.json`; moved back into the folder it is read again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Batch, Error, ObjectOptions, Position, Source, SourceContext, Sources, UNREACHABLE, each, source_options};
use crate::{
    adapter::{
        decode::{self, Format, RowReader, beside::InFolder, options, options::OneOrMany},
        load::{Load, Loads},
    },
    envelope::System,
    error::{Code, Fault},
    store,
};

pub mod archive;
pub mod folder;
mod reader;
pub mod remote;
mod state;

use folder::{Folder, Stamp};
use remote::{Options, Remote};
use state::{Seen, Stage, State};

/// A file was changed or taken away while it was being read.
pub const FILE_CHANGED: Code = Code::new(2060);
/// The drop folder cannot be read or written.
pub const FOLDER: Code = Code::new(2061);

/// A whole file is read for its digest and its control totals: time for a gigabyte on a slow disk.
const VERIFY_LIMIT: Duration = Duration::from_secs(600);
/// Time for one batch of rows, one scan or one move.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// File sources of one system. Source options: `settle` (`2s`), and `sftp` with its own
/// options for files that are fetched first. Object options: `files` (a glob or a list), `format`, and
/// the options of the format.
///
/// # Errors
/// Every unknown or wrong option.
pub fn open(
    system: &System,
    source: &toml::Table,
    objects: &[ObjectOptions],
    context: &SourceContext,
) -> Result<Sources, Vec<Fault>> {
    let given: Options = source_options(source)?;
    let settle = options::millis(given.settle.as_deref().unwrap_or("2s")).and_then(|millis| u64::try_from(millis).ok());
    let Some(settle) = settle else {
        return Err(vec![options::bad("settle", "is no length of time").expected("for example `2s`")]);
    };
    let place = given.place()?;
    let mut made = each(objects, |object| {
        let mut table = object.own();
        let loads = Loads::take(&object.name, &mut table);
        let (loads, Files { globs, format }) = match (loads, files_of(&table)) {
            (Ok(loads), Ok(files)) => (loads, files),
            (loads, files) => return Err([loads.err(), files.err()].into_iter().flatten().flatten().collect()),
        };
        let (inbox, settle) = (context.inbox.join(system.as_str()), Duration::from_millis(settle));
        let folder = Folder::new(inbox.clone(), globs, settle).in_pairs(format.companion());
        let remote = place.clone().map(|place| Remote {
            place,
            store: context.store.clone(),
            system: system.clone(),
            inbox,
            globs: folder.all_globs(),
            settle,
        });
        let seen = Seen { store: context.store.clone(), system: system.clone(), object: object.name.clone() };
        Ok(FileSource { folder, seen, others: Vec::new(), format, loads, remote, open: None, strays: 0 })
    })?;
    let all: Vec<(String, Vec<String>)> =
        made.iter().map(|(name, source)| (name.clone(), source.folder.globs().to_vec())).collect();
    for (name, source) in &mut made {
        source.others = all.iter().filter(|(other, _)| other != name).cloned().collect();
    }
    let globs: Vec<String> = made.iter().flat_map(|(_, source)| source.folder.all_globs()).collect();
    if let Some((_, first)) = made.first_mut() {
        first.folder.count_strays(globs);
    }
    Ok(made.into_iter().map(|(name, source)| (name, Box::new(source) as Box<dyn Source>)).collect())
}

/// What the options of an object say about its files.
pub struct Files {
    /// Names in the drop folder: of the files, or of the archives they come in.
    pub globs: Vec<String>,
    pub format: Arc<dyn Format>,
}

/// Reads `files`, `archive`, `format`, and the options of archives and of the format.
///
/// # Errors
/// Every unknown or wrong option.
pub fn files_of(table: &toml::Table) -> Result<Files, Vec<Fault>> {
    let mut table = table.clone();
    let mut faults = Vec::new();
    let mut globs = |table: &mut toml::Table, option: &str| -> Option<Vec<String>> {
        let given = table.remove(option)?;
        let globs = given.try_into::<OneOrMany>().map(OneOrMany::into_vec).unwrap_or_default();
        if globs.is_empty() || !globs.iter().all(|glob| folder::valid_glob(glob)) {
            faults.push(options::bad(option, "must be a file name with `*` and `?`, or a list of them, without folders"));
        }
        Some(globs)
    };
    let (files, archives) = (globs(&mut table, "files"), globs(&mut table, "archive"));
    let Some(files) = files else {
        return Err(vec![options::bad("files", "is missing").expected("a file name with `*` and `?`")]);
    };
    let name = table.remove("format").and_then(|format| format.as_str().map(str::to_owned)).unwrap_or_default();
    let limits = archive::Limits::take(&mut table, archives.is_some()).map_err(|more| faults.extend(more));
    let format = decode::open(&name, &table).map_err(|more| faults.extend(more));
    let (true, Ok(limits), Ok(format)) = (faults.is_empty(), limits, format) else { return Err(faults) };
    let format: Arc<dyn Format> = format.into();
    Ok(match archives {
        Some(globs) => Files { globs, format: Arc::new(archive::Archive::new(format, files, limits)) },
        None => Files { globs: files, format },
    })
}

/// The files of one object.
struct FileSource {
    folder: Folder,
    seen: Seen,
    /// Name and globs of the system's other objects: a workbook with several sheets is a file of several objects.
    others: Vec<(String, Vec<String>)>,
    format: Arc<dyn Format>,
    loads: Option<Loads>,
    remote: Option<Remote>,
    open: Option<Open>,
    /// As last reported.
    strays: usize,
}

/// A file being read.
struct Open {
    state: State,
    stamp: Stamp,
    rows: Box<dyn RowReader>,
}

#[async_trait]
impl Source for FileSource {
    async fn read(&mut self, position: &Position, max: usize) -> Result<Batch, Error> {
        match State::of(position) {
            Some(state) if state.stage == Stage::Open => return self.go_on(state, max).await,
            // The process may have died between storing this position and putting the file away.
            Some(state) => self.finish(&state).await?,
            None => {}
        }
        match self.pick().await? {
            Picked::Nothing => Ok(Batch { next: position.clone(), ..Batch::default() }),
            Picked::Refused(state) => Ok(reader::refused(&self.seen.object, state)),
            Picked::Open(open) => self.batch(open, max).await,
        }
    }

    async fn stored(&mut self, position: &Position) -> Result<(), Error> {
        match State::of(position) {
            Some(state) if state.stage != Stage::Open => self.finish(&state).await,
            _ => Ok(()),
        }
    }
}

enum Picked {
    Nothing,
    Refused(State),
    Open(Open),
}

impl FileSource {
    /// The next settled file by name, digested and verified; files already seen are put away on the way.
    async fn pick(&mut self) -> Result<Picked, Error> {
        loop {
            let names = self.ready_names().await?;
            if let Some(picked) = self.first_of(names).await? {
                return Ok(picked);
            }
            // Nothing is left here: what the server has comes next, if it has anything.
            match &self.remote {
                Some(remote) if remote.fetch().await? > 0 => {}
                _ => return Ok(Picked::Nothing),
            }
        }
    }

    /// The first of these files that this object has not read.
    async fn first_of(&mut self, names: Vec<String>) -> Result<Option<Picked>, Error> {
        for name in names {
            let folder = self.folder.clone();
            let file = name.clone();
            let Some((stamp, digest)) = blocking(VERIFY_LIMIT, move || Ok(reader::identify(&folder, &file).ok())).await? else {
                return Ok(Some(Picked::Nothing));
            };
            if self.seen.contains(&digest).await.map_err(|error| unreachable(&error))? {
                if self.is_wanted(&name, &digest).await? {
                    continue;
                }
                tracing::info!(system = %self.seen.system, object = %self.seen.object, digest = &digest[..16], "file came again");
                self.put_away(&name, ".done", &digest).await?;
                self.seen.repeat(&digest).await.map_err(|error| unreachable(&error))?;
                continue;
            }
            let state = State {
                file: name,
                digest,
                stamp: stamp.text(),
                member: 0,
                row: 0,
                records: 0,
                stage: Stage::Open,
                faults: Vec::new(),
            };
            return self.verify(state, stamp).await.map(Some);
        }
        Ok(None)
    }

    /// Whether another object of the system still has to read the file.
    async fn is_wanted(&mut self, name: &str, digest: &str) -> Result<bool, Error> {
        for (object, globs) in &self.others {
            if globs.iter().any(|glob| folder::matches(glob, name)) {
                let seen = Seen { object: object.clone(), ..self.seen.clone() };
                if !seen.contains(digest).await.map_err(|error| unreachable(&error))? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The ready files by name. Waits once for files that are settling.
    async fn ready_names(&mut self) -> Result<Vec<String>, Error> {
        for last in [false, true] {
            let mut folder = self.folder.clone();
            let (folder, scan) = blocking(STEP_LIMIT, move || {
                let scan = folder.scan()?;
                Ok((folder, scan))
            })
            .await?;
            self.folder = folder;
            if scan.strays > std::mem::replace(&mut self.strays, scan.strays) {
                tracing::warn!(system = %self.seen.system, files = scan.strays, "files in the drop folder fit no object");
            }
            match scan.wait {
                _ if !scan.ready.is_empty() => return Ok(scan.ready),
                Some(wait) if !last => tokio::time::sleep(wait.min(STEP_LIMIT)).await,
                _ => break,
            }
        }
        Ok(Vec::new())
    }

    async fn verify(&mut self, state: State, stamp: Stamp) -> Result<Picked, Error> {
        let (folder, format) = (self.folder.clone(), Arc::clone(&self.format));
        blocking(VERIFY_LIMIT, move || {
            let (mut file, opened) = folder.input(&state.file)?;
            if opened != stamp {
                return Ok(Picked::Nothing);
            }
            let verified =
                format.verify(&mut file).and_then(|records| Ok((records, format.rows(Box::new(reopen(&folder, &state)?))?)));
            Ok(match verified {
                Ok((records, rows)) => Picked::Open(Open { state: State { records, ..state }, stamp, rows }),
                Err(faults) => Picked::Refused(State { stage: Stage::Refused, faults, ..state }),
            })
        })
        .await
    }

    /// Goes on in a file that was open, in this process or in one before it.
    async fn go_on(&mut self, state: State, max: usize) -> Result<Batch, Error> {
        if let Some(open) = self.open.take().filter(|open| open.state == state) {
            return self.batch(open, max).await;
        }
        let (folder, format, resumed) = (self.folder.clone(), Arc::clone(&self.format), state.clone());
        let open = blocking(VERIFY_LIMIT, move || Ok(reader::resume(&folder, &*format, resumed).ok())).await?;
        match open {
            Some(open) => self.batch(open, max).await,
            None => Ok(reader::gone(&self.seen.object, state)),
        }
    }

    async fn batch(&mut self, open: Open, max: usize) -> Result<Batch, Error> {
        let (folder, object) = (self.folder.clone(), self.seen.object.clone());
        let (mut batch, open) = blocking(STEP_LIMIT, move || Ok(reader::batch(&folder, &object, open, max))).await?;
        self.open = open;
        batch.load = State::of(&batch.next).and_then(|state| self.load(&state));
        Ok(batch)
    }

    /// A file that went away before its end belongs to no load any more.
    fn load(&self, state: &State) -> Option<Load> {
        let load = self.loads.as_ref()?.of_file(&state.file, &state.digest);
        match state.stage {
            Stage::Open => Some(load),
            Stage::Read => Some(Load { ended: true, ..load }),
            Stage::Refused | Stage::Gone => None,
        }
    }

    /// What follows a stored position: note the file as seen and put it away. Safe to repeat.
    async fn finish(&mut self, state: &State) -> Result<(), Error> {
        if !self.is_there(state).await? {
            return Ok(());
        }
        match state.stage {
            Stage::Read => {
                self.seen.add(state).await.map_err(|error| unreachable(&error))?;
                if self.is_wanted(&state.file, &state.digest).await? {
                    return Ok(());
                }
                self.put_away(&state.file, ".done", &state.digest).await
            }
            Stage::Refused => {
                let (folder, file) = (self.folder.clone(), format!("{}.fault.json", state.file));
                let text = serde_json::to_string_pretty(&state.faults).unwrap_or_default();
                blocking(STEP_LIMIT, move || folder.note(".quarantine", &file, &text)).await?;
                self.put_away(&state.file, ".quarantine", &state.digest).await
            }
            Stage::Open | Stage::Gone => Ok(()),
        }
    }

    /// Whether the very file of `state` still lies in the folder. A refused file that was moved back by hand has a new
    /// stamp and is read again. A file read to its end is known by its content as well, until it is noted as seen: then
    /// a new file of this name and content is a repeat.
    async fn is_there(&mut self, state: &State) -> Result<bool, Error> {
        let (folder, file) = (self.folder.clone(), state.file.clone());
        let stamp = blocking(STEP_LIMIT, move || Ok(folder.stamp(&file).ok())).await?;
        match stamp {
            None => return Ok(false),
            Some(stamp) if stamp.text() == state.stamp => return Ok(true),
            Some(_) if state.stage != Stage::Read => return Ok(false),
            Some(_) => {}
        }
        if self.seen.contains(&state.digest).await.map_err(|error| unreachable(&error))? {
            return Ok(false);
        }
        let (folder, state) = (self.folder.clone(), state.clone());
        let same = move || Ok(reader::identify(&folder, &state.file).is_ok_and(|(_, digest)| digest == state.digest));
        blocking(VERIFY_LIMIT, same).await
    }

    async fn put_away(&mut self, name: &str, to: &'static str, digest: &str) -> Result<(), Error> {
        let (folder, name, digest) = (self.folder.clone(), name.to_owned(), digest.to_owned());
        blocking(STEP_LIMIT, move || folder.put_away(&name, to, &digest).map(drop)).await
    }
}

fn reopen(folder: &Folder, state: &State) -> Result<InFolder, Vec<Fault>> {
    folder.input(&state.file).map(|(file, _)| file).map_err(|error| vec![decode::unreadable(&error)])
}

/// Runs disk work off the async threads, with a time limit.
async fn blocking<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let fault = |what: String| Fault::new(FOLDER, format!("the drop folder does not work: {what}"));
    let hint = "check that the folder is mounted, has space and may be read and written";
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(Ok(done))) => Ok(done),
        Ok(Ok(Err(error))) => Err(Error::Unreachable(fault(error.kind().to_string()).hint(hint))),
        Ok(Err(_)) => Err(Error::Unreachable(fault("a task ended early".to_owned()))),
        Err(_) => Err(Error::Unreachable(fault(format!("no answer within {} s", limit.as_secs())).hint(hint))),
    }
}

fn disk(error: &std::io::Error) -> Error {
    let fault = Fault::new(FOLDER, format!("the drop folder does not work: {}", error.kind()));
    Error::Unreachable(fault.hint("check that the folder is mounted, has space and may be read and written"))
}

fn unreachable(error: &store::Error) -> Error {
    Error::Unreachable(Fault::new(UNREACHABLE, "the store of the hub does not answer").hint(error.fault().to_string()))
}
