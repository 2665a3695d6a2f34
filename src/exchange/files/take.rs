//! What a bank has put into its folder: acknowledgements, answers, refusals.

use sha2::{Digest, Sha256};

use super::{DropBox, FILE_COUNT, FILE_DIGEST, FILE_INCOMPLETE, FILE_REFUSED, Name, answers, line, pack};
use crate::{
    clock,
    error::Fault,
    exchange::{
        answer::{self, Taken},
        book::{Books, entry},
        drive::Counts,
    },
    ledger::Kind,
    store::{Arg, Error},
};

/// How often a request file is put again that the bank got only half of.
const MOST_TRIES: i64 = 5;
/// Answers that are taken in one transaction.
const CHUNK: usize = 200;

/// Takes every file of `in`. A file that cannot be used stays there, is answered by `.ERR` once, and stops no other.
pub async fn take(books: &Books, bank: &str, folder: &dyn DropBox, now: i64) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    let mut names = match folder.list().await {
        Ok(names) => names,
        Err(fault) => {
            tracing::warn!(code = %fault.code, "the folder of a bank is looked at again later");
            return Ok(counts);
        }
    };
    names.sort();
    for file in names {
        let Some((name, ending)) = Name::parse(&file).filter(|(name, _)| name.bank == bank) else { continue };
        let bytes = match folder.read(&file).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(fault) => {
                tracing::warn!(code = %fault.code, "a file of a bank is read again later");
                continue;
            }
        };
        let visit = Visit { books, bank, folder, name: &name, file: &file, bytes: &bytes, now };
        match visit.known().await? {
            // Taken before, and its removal failed; or sent twice, which has no second effect.
            Some(fault) if fault.is_empty() => visit.done().await,
            // Refused before: a whole one of the same name has another digest.
            Some(_) => {}
            None => {
                let (answered, refused) = visit.look(ending).await?;
                counts.answered += answered;
                counts.refused += refused;
            }
        }
    }
    Ok(counts)
}

/// One file of the bank.
struct Visit<'a> {
    books: &'a Books,
    bank: &'a str,
    folder: &'a dyn DropBox,
    name: &'a Name,
    file: &'a str,
    bytes: &'a [u8],
    now: i64,
}

impl Visit<'_> {
    fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.bytes))
    }

    /// The fault of the file when it was looked at before; empty if it had none.
    async fn known(&self) -> Result<Option<String>, Error> {
        let sql = "SELECT fault FROM verification_file_seen WHERE provider = $1 AND name = $2 AND digest = $3";
        let rows = self.books.store.read(sql, &[self.bank.into(), self.file.into(), self.digest().into()]).await?;
        Ok(rows.first().map(|row| row.text(0)))
    }

    async fn look(&self, ending: &str) -> Result<(usize, usize), Error> {
        let mut counts = (0, 0);
        let looked = match ending {
            "ACK" => self.acknowledged().await?,
            "ERR" => self.refused().await?,
            "RSP" => match self.rows() {
                Ok(rows) => {
                    counts = self.answered(&rows).await?;
                    Ok(())
                }
                Err(fault) => Err(fault),
            },
            _ => return Ok(counts),
        };
        match looked {
            Ok(()) => {
                self.note("").await?;
                self.done().await;
            }
            Err(fault) => {
                self.complain(&fault).await?;
                counts.1 += 1;
            }
        }
        Ok(counts)
    }

    /// The details of a whole file.
    fn details(&self) -> Result<Vec<&[u8]>, Fault> {
        let whole = pack::unpack(self.folder.form(), self.name, self.bytes, |content, text| self.folder.is_signed(content, text));
        whole.map_err(|fault| fault.in_file(self.file))
    }

    fn rows(&self) -> Result<Vec<Vec<String>>, Fault> {
        pack::fields(self.folder.form(), line::ANSWER, &self.details()?).map_err(|fault| fault.in_file(self.file))
    }

    async fn acknowledged(&self) -> Result<Result<(), Fault>, Error> {
        if let Err(fault) = self.details() {
            return Ok(Err(fault));
        }
        self.turn("ACKED", &["PUT"]).await?;
        let sql = "UPDATE verification_query SET state = 'ACKED' WHERE provider = $1 AND file = $2 AND state = 'SENT'";
        self.books.store.write(sql, &[self.bank.into(), self.name.stem().into()]).await?;
        Ok(Ok(()))
    }

    /// The bank cannot use a request file: what got lost on the way is put again, anything else ends its queries.
    async fn refused(&self) -> Result<Result<(), Fault>, Error> {
        let code = match self.details().and_then(|details| pack::fields(self.folder.form(), line::ERROR, &details)) {
            Ok(rows) => rows.first().map(|row| row[1].clone()).unwrap_or_default(),
            Err(fault) => return Ok(Err(fault)),
        };
        let on_the_way = [FILE_INCOMPLETE, FILE_COUNT, FILE_DIGEST].iter().any(|known| known.to_string() == code);
        let sql = "UPDATE verification_file SET state = 'MADE', next_at = $2 WHERE name = $1 AND state IN ('PUT', 'ACKED') AND tries < $3";
        let args: [Arg; 3] = [self.name.stem().into(), self.now.into(), MOST_TRIES.into()];
        if on_the_way && self.books.store.write(sql, &args).await? == 1 {
            // Acknowledged or not, they go again under their numbers.
            let sql = "UPDATE verification_query SET state = 'SENT' WHERE provider = $1 AND file = $2 AND state = 'ACKED'";
            self.books.store.write(sql, &[self.bank.into(), self.name.stem().into()]).await?;
            return Ok(Ok(()));
        }
        self.turn("REFUSED", &["PUT", "ACKED"]).await?;
        let sql = "UPDATE verification_query SET state = 'REFUSED', fault = $3 WHERE provider = $1 AND file = $2 AND state IN ('SENT', 'ACKED')";
        let args: [Arg; 3] = [self.bank.into(), self.name.stem().into(), FILE_REFUSED.to_string().into()];
        self.books.store.write(sql, &args).await?;
        Ok(Ok(()))
    }

    async fn answered(&self, rows: &[Vec<String>]) -> Result<(usize, usize), Error> {
        let mut counts = (0, 0);
        for chunk in answers(rows).chunks(CHUNK) {
            for taken in answer::take_all(self.books, self.bank, chunk).await? {
                match taken {
                    Taken::New { .. } => counts.0 += 1,
                    Taken::Known => {}
                    Taken::Refused(_) => counts.1 += 1,
                }
            }
        }
        self.turn("ANSWERED", &["PUT", "ACKED"]).await?;
        Ok(counts)
    }

    /// The file of the hub that this one is about goes on.
    async fn turn(&self, state: &str, from: &[&str]) -> Result<(), Error> {
        let from = from.iter().map(|state| format!("'{state}'")).collect::<Vec<_>>().join(", ");
        let sql = format!("UPDATE verification_file SET state = $2 WHERE name = $1 AND state IN ({from})");
        self.books.store.write(&sql, &[self.name.stem().into(), state.into()]).await?;
        Ok(())
    }

    async fn note(&self, fault: &str) -> Result<(), Error> {
        let sql = "INSERT INTO verification_file_seen (provider, name, digest, fault, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let args: [Arg; 5] = [self.bank.into(), self.file.into(), self.digest().into(), fault.into(), clock::millis().into()];
        self.books.store.write(sql, &args).await?;
        Ok(())
    }

    /// Takes the file out of the folder; a failure is mended by the next pass.
    async fn done(&self) {
        if let Err(fault) = self.folder.remove(self.file).await {
            tracing::warn!(code = %fault.code, "a file of a bank is removed later");
        }
    }

    /// Tells the bank, the ledger and the log, once for one content.
    async fn complain(&self, fault: &Fault) -> Result<(), Error> {
        let code = fault.code.to_string();
        let content = line::write(self.folder.form(), line::ERROR, &["E", &code, &fault.message])
            .and_then(|line| pack::pack(self.folder.form(), self.name, &[line], |content| self.folder.sign(content)));
        let told = match content {
            Ok(content) => self.folder.put(&format!("{}.ERR", self.name.stem()), &content).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = told {
            tracing::warn!(code = %fault.code, "a bank is told later that its file cannot be used");
            return Ok(());
        }
        let mut tx = self.books.store.begin().await?;
        let sql = "INSERT INTO verification_file_seen (provider, name, digest, fault, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let args: [Arg; 5] =
            [self.bank.into(), self.file.into(), self.digest().into(), code.as_str().into(), clock::millis().into()];
        if tx.execute(sql, &args).await? == 1 {
            let body = serde_json::json!({ "provider": self.bank, "code": fault.code });
            self.books.note(&mut tx, vec![entry(Kind::Refused, self.file, body)]).await?;
            tx.commit().await?;
        }
        tracing::error!(code = %fault.code, "a file of a bank cannot be used");
        Ok(())
    }
}
