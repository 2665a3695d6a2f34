//! Files that lie on an SFTP server, Debian's: fetched under the same rules as files of the drop folder.

use civilhub::adapter::source::file::remote;

use super::*;
use crate::support::sshd::Sshd;

const OBJECT: &str = "files = 'k*.csv'\nformat = 'csv'\nencoding = 'UTF-8'\nkey = ['A']";

fn open(place: &Place, source: &str) -> Box<dyn Source> {
    place.open(&format!("kind = 'file'\nsettle = '300ms'\n{source}"), OBJECT).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_fetched_once_and_links_and_unfinished_ones_are_not() {
    let (place, server) = (Place::new().await, Sshd::start().await);
    let files = server.files();
    fs::write(files.join("k1.csv"), "A,B\n1,2\n").unwrap();
    fs::write(files.join("k2.csv"), "A,B\n3,4\n").unwrap();
    for other in ["k3.csv.tmp", ".k4.csv", "other.csv"] {
        fs::write(files.join(other), "A,B\n5,6\n").unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", files.join("k5.csv")).unwrap();
    fs::create_dir(files.join("k6.csv")).unwrap();
    let (mut source, mut position) = (open(&place, &server.source()), Position::default());
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!((rows, faults.len()), (vec![json!({"A": "1", "B": "2"}), json!({"A": "3", "B": "4"})], 0));
    assert!(files.join("k1.csv").exists(), "the server's files stay");
    assert!(place.drop_folder().join(".done/k1.csv").exists());
    // Nothing is fetched again, by a new process as well; what changes is.
    let mut source = open(&place, &server.source());
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 0);
    fs::write(files.join("k1.csv"), "A,B\n1,2\n7,8\n").unwrap();
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 2);
    let left: Vec<_> = fs::read_dir(place.drop_folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".done"], "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_still_grows_on_the_server_waits() {
    let (place, server) = (Place::new().await, Sshd::start().await);
    let path = server.files().join("k1.csv");
    fs::write(&path, "A,B\n").unwrap();
    let writer = {
        let path = path.clone();
        tokio::spawn(async move {
            use std::io::Write;
            for row in 0..20 {
                let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
                writeln!(file, "{row},x").unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    };
    let (mut source, mut position) = (open(&place, &server.source()), Position::default());
    let batch = source.read(&position, 100).await.unwrap();
    assert!(batch.rows.is_empty(), "half a file is no file");
    writer.await.unwrap();
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_are_bounded_and_may_be_taken_away() {
    let (place, server) = (Place::new().await, Sshd::start().await);
    let row = format!("{},{}\n", "1".repeat(500), "2".repeat(500));
    fs::write(server.files().join("k1.csv"), format!("A,B\n{}", row.repeat(20_000))).unwrap();
    fs::write(server.files().join("k2.csv"), format!("A,B\n{}", row.repeat(40_000))).unwrap();
    let options = format!("{}\nsftp_limit = 25000000\nsftp_remove = true", server.source());
    let (mut source, mut position) = (open(&place, &options), Position::default());
    let mut rows = 0;
    let error = loop {
        match source.read(&position, 5000).await {
            Ok(batch) => {
                rows += batch.rows.len();
                position = batch.next;
                source.stored(&position).await.unwrap();
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, Error::Refused(fault) if fault.code == remote::SFTP_TOO_LARGE), "{error}");
    assert_eq!(rows, 20_000);
    assert!(!server.files().join("k1.csv").exists() && server.files().join("k2.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_server_and_the_wrong_account_are_told_apart() {
    let (place, server) = (Place::new().await, Sshd::start().await);
    let read = async |options: String| open(&place, &options).read(&Position::default(), 1).await.unwrap_err();
    let error = read(server.source_with(&server.other_key(), &server.files())).await;
    assert!(matches!(&error, Error::Refused(fault) if fault.code == remote::SFTP_HOST_KEY), "{error}");
    let error = read(server.source().replace("sftp://", "sftp://nobody-").to_owned()).await;
    assert!(matches!(&error, Error::Refused(fault) if fault.code == remote::SFTP_REFUSED), "{error}");
    let host = server.source().split("sftp_host_key = '").nth(1).unwrap().trim_end_matches('\'').to_owned();
    let error = read(server.source_with(&host, Path::new("/no/such/folder"))).await;
    assert!(matches!(&error, Error::Refused(fault) if fault.code == remote::SFTP_REFUSED), "{error}");
    let gone = server.source().replace("127.0.0.1:", "127.0.0.1:1/");
    assert!(matches!(read(gone).await, Error::Unreachable(_)));
    for wrong in
        ["sftp = 'sftp://u@h/x'", "sftp_limit = 5", "sftp = 'ftp://u@h/x'\nsftp_password = 'p'\nsftp_host_key = 'SHA256:x'"]
    {
        let faults = place.open(&format!("kind = 'file'\n{wrong}"), OBJECT).err().unwrap();
        assert!(faults[0].to_string().contains("sftp"), "{faults:?}");
    }
}
