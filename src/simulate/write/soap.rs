//! Answers of a SOAP service, a document a page: an envelope in UTF-8 whose payload is a second XML document in CDATA.
//!
//! The payload declares GBK although its bytes are those of the envelope, as the services of the time did.

use std::path::{Path, PathBuf};

use crate::simulate::error::Error;

/// Records of a page.
pub const PAGE: u64 = 100;
/// Stands for the total until it is known.
const TOTAL: &str = "@total@";

/// The pages of one operation under way.
pub struct Pages {
    folder: PathBuf,
    operation: &'static str,
    records: String,
    count: u64,
    total: u64,
    files: Vec<PathBuf>,
}

impl Pages {
    /// Pages of an operation in a folder.
    pub fn new(folder: &Path, operation: &'static str) -> Self {
        let folder = folder.to_owned();
        Self { folder, operation, records: String::new(), count: 0, total: 0, files: Vec::new() }
    }

    /// The file of the page under way.
    pub fn file(&self) -> String {
        format!("{}.{:05}.xml", self.operation, self.files.len() + 1)
    }

    /// Adds a record of named texts, gives its number on the page from 1 and, when the page is full, writes it.
    ///
    /// # Errors
    /// When the page cannot be written.
    pub fn push(&mut self, fields: &[(&str, &str)]) -> Result<u64, Error> {
        self.records.push_str("<row>");
        for (name, text) in fields {
            self.records.push_str(&format!("<{name}>{}</{name}>", escape(text)));
        }
        self.records.push_str("</row>");
        self.count += 1;
        self.total += 1;
        let row = self.count;
        if self.count == PAGE {
            self.flush()?;
        }
        Ok(row)
    }

    /// Writes the last page and the total into all of them.
    ///
    /// # Errors
    /// When a page cannot be written.
    pub fn finish(mut self) -> Result<(), Error> {
        if self.count > 0 || self.files.is_empty() {
            self.flush()?;
        }
        for path in &self.files {
            let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
            std::fs::write(path, text.replace(TOTAL, &self.total.to_string())).map_err(Error::file(path))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let path = self.folder.join(self.file());
        let text = page(self.operation, self.files.len() + 1, TOTAL, &self.records);
        std::fs::write(&path, text).map_err(Error::file(&path))?;
        self.files.push(path);
        self.records.clear();
        self.count = 0;
        Ok(())
    }
}

/// One answer.
pub fn page(operation: &str, number: usize, total: &str, records: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>\
         <ns1:{operation}Response xmlns:ns1=\"urn:ws\"><return xsi:type=\"xsd:string\"><![CDATA[\
         <?xml version=\"1.0\" encoding=\"GBK\"?>\n<response><returnCode>00000</returnCode><returnMsg>成功</returnMsg>\
         <pageNo>{number}</pageNo><pageSize>{PAGE}</pageSize><total>{total}</total><list>{records}</list></response>\
         ]]></return></ns1:{operation}Response></soapenv:Body></soapenv:Envelope>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
