//! The samples of adapters that read workbooks and archives. They are binary files, so this is where they can be read and
//! changed: with `WRITE_SAMPLES=1` the test writes them, without it compares what is in them.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{Cursor, Read},
    path::Path,
};

use civilhub::simulate::write::{
    dbf::{CodePage, Field, Memos, Table},
    xlsx::{self, Cell, Sheet},
    zip::{Archive, Names},
};
use time::{Date, macros::date};

/// An invented number of the functional zone 220171 with a right check digit.
fn id(birth: &str, serial: u16) -> String {
    let digits = format!("220171{birth}{serial:03}");
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{digits}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

fn text(text: &str) -> Cell {
    if text.is_empty() { Cell::Blank } else { Cell::text(text) }
}

fn number(text: &str) -> Cell {
    Cell::Number(text.parse().unwrap())
}

fn samples() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut add = |adapter: &str, name: &str, bytes: Vec<u8>| all.insert(format!("adapters/{adapter}/samples/{name}"), bytes);
    for (name, sheets) in filings().into_iter().chain(inspections()) {
        add("assist-oversight", name, xlsx::bytes(&sheets).unwrap());
    }
    for (name, sheets) in centres().into_iter().chain(residents()) {
        add("rural-welfare", name, xlsx::bytes(&sheets).unwrap());
    }
    for (name, sheets) in units() {
        add("grassroots-registry", name, xlsx::bytes(&sheets).unwrap());
    }
    for (name, bytes) in tekun() {
        add("tekun", name, bytes);
    }
    all
}

type Books = Vec<(&'static str, Vec<Sheet>)>;

const FILING: [&str; 9] = ["序号", "备案人姓名", "身份证号", "单位及职务", "低保户主", "低保证号", "关系", "备案日期", "备注"];

/// Number, name, identity number, office, head, certificate, relation, day, remark.
fn filing(texts: [&str; 7], id: Cell, day: Cell) -> Vec<Cell> {
    let [serial, name, unit, head, certificate, relation, remark] = texts;
    let serial = if serial.is_empty() { Cell::Blank } else { number(serial) };
    vec![serial, text(name), id, text(unit), text(head), text(certificate), text(relation), day, text(remark)]
}

fn filings() -> Books {
    let titles = ["长春经济技术开发区低保经办人员、村（居）委会干部近亲属享受低保备案表", "填报单位：开发区民政局　　2017年7月"];
    let sheet = || Sheet::new("近亲属备案", &titles, &FILING);
    let official = Cell::text(id("19700101", 5));
    let mut typical = sheet();
    typical.push(filing(
        ["1", "张三", "临河街道办事处低保专干", "张大", "DB2201710001", "父母", ""],
        official.clone(),
        Cell::Date(date!(2017 - 07 - 03)),
    ));
    typical.push(filing(
        ["2", "李四", "黎明村村委会主任", "王芳", "DB2201710002", "配偶", ""],
        Cell::text(id("19650512", 11)),
        Cell::Date(date!(2017 - 06 - 28)),
    ));
    typical.push(filing(
        ["3", "王五", "浦东路社区居委会副主任", "王小", "DB2201710003", "子", ""],
        Cell::text(id("19800229", 17)),
        Cell::Date(date!(2017 - 06 - 30)),
    ));

    let mut quirks = sheet();
    // One official files three relatives: name, number and office are merged over the rows.
    quirks.push(filing(
        ["1", "张三", "临河街道办事处 低保专干", "张大", "DB2201710001", "父亲", ""],
        official,
        Cell::text("2017.7.3"),
    ));
    quirks.push(filing(
        ["2", "", "", "张 二", "db2201710004", "兄弟姐妹", "2017年6月停保"],
        Cell::Blank,
        Cell::text("2017年7月3日"),
    ));
    quirks.push(filing(["3", "", "", "赵六", "DB2201710005", "儿媳", ""], Cell::Blank, Cell::Serial(date!(2017 - 07 - 03))));
    quirks.merged.extend([(0, 2, 1), (0, 2, 2), (0, 2, 3)]);
    quirks.push(filing(
        ["4", "阿不都.热合曼", "东方广场街道干部", "热合曼", "", "父母", ""],
        Cell::text("220171650512001"),
        Cell::text("2017/7/1"),
    ));
    quirks.push(filing(["5", "钱七", "某某公司", "钱八", "DB2201710006", "", ""], Cell::Blank, Cell::text("20170701")));
    quirks.push(filing(["", "", "", "", "", "", ""], Cell::Blank, Cell::Blank));
    quirks.push(filing(["", "合计", "5人", "", "", "", ""], Cell::Blank, Cell::Blank));

    let mut faults = sheet();
    let good = Cell::text(id("19700101", 5));
    let day = || Cell::Date(date!(2017 - 07 - 03));
    faults.push(filing(
        ["1", "张三", "村主任", "张大", "DB2201710001", "父母", ""],
        Cell::Number(220_171_197_001_010_053.0),
        day(),
    ));
    faults.push(filing(["2", "李四", "村主任", "李大", "DB2201710002", "父母", ""], Cell::text("220171197001010054"), day()));
    faults.push(filing(["3", "王五", "村主任", "王大", "DB2201710003", "同事", ""], good.clone(), day()));
    faults.push(filing(["4", "赵六", "村主任", "赵大", "DB2201710004", "父母", ""], good.clone(), Cell::Blank));
    faults.push(filing(["5", "钱七", "村主任", "", "DB2201710005", "父母", ""], good.clone(), day()));
    faults.push(filing(["6", "孙八", "村主任", "孙大", "DB2201710006", "父母", ""], good.clone(), Cell::text("2017年13月3日")));
    faults.push(filing(
        ["7", "周九", "村主任", "周大", "DB2201710007", "父母", ""],
        Cell::Formula("VLOOKUP(B10,X:Y,2,0)".into(), "#N/A".into()),
        day(),
    ));
    faults.push(filing(["8", "吴十", "村主任", "吴大", "DB2201710008", "父母", ""], good, day()));
    vec![
        ("ba.220171-201707.xlsx", vec![typical]),
        ("ba.220171-201708-quirks.xlsx", vec![quirks]),
        ("ba.220171-201709-faults.xlsx", vec![faults]),
    ]
}

fn inspections() -> Books {
    const COLUMNS: [&str; 5] = ["巡查日期", "巡查人", "户主姓名", "问题", "整改时限"];
    let sheet = || Sheet::new("低保巡查", &["低保巡查台账"], &COLUMNS);
    let row =
        |day: Cell, who: &str, head: &str, problem: &str, limit: Cell| vec![day, text(who), text(head), text(problem), limit];
    let mut typical = sheet();
    typical.push(row(Cell::Date(date!(2017 - 07 - 03)), "李明、王芳", "张大", "无", Cell::Blank));
    typical.push(row(
        Cell::Date(date!(2017 - 07 - 03)),
        "李明、王芳",
        "赵六",
        "家庭人口变动未申报",
        Cell::Date(date!(2017 - 07 - 31)),
    ));
    let mut quirks = sheet();
    quirks.push(row(Cell::Serial(date!(2017 - 07 - 03)), "李明，王芳", "张 大", "未发现问题。", Cell::Blank));
    quirks.push(row(Cell::Blank, "", "李二", "公示牌未更新；档案缺少签字", Cell::text("立即整改")));
    quirks.push(row(Cell::Blank, "", "王三", "收入核实不准", Cell::text("2017.8.1")));
    quirks.merged.extend([(0, 2, 0), (0, 2, 1)]);
    quirks.push(row(Cell::text("2017年7月4日"), "王芳", "周四", "入户调查表漏填", Cell::Blank));
    let mut faults = sheet();
    faults.push(row(Cell::text("七月三日"), "李明", "张大", "无", Cell::Blank));
    faults.push(row(Cell::Date(date!(2017 - 07 - 03)), "", "赵六", "无", Cell::Blank));
    faults.push(row(Cell::Date(date!(2017 - 07 - 03)), "李明", "", "无", Cell::Blank));
    faults.push(row(Cell::Date(date!(2017 - 07 - 03)), "李明", "王三", "无", Cell::Blank));
    vec![
        ("xc.220171-201707.xlsx", vec![typical]),
        ("xc.220171-201708-quirks.xlsx", vec![quirks]),
        ("xc.220171-201709-faults.xlsx", vec![faults]),
    ]
}

fn centres() -> Books {
    const COLUMNS: [&str; 6] = ["中心名称", "乡镇", "床位数", "入住人数", "特困人数", "负责人"];
    let sheet = || Sheet::new("中心", &["农村社会福利服务中心基本情况"], &COLUMNS);
    let row = |name: &str, town: &str, beds: Cell, residents: Cell, head: &str| {
        vec![text(name), text(town), beds, residents, Cell::Number(20.0), text(head)]
    };
    let mut typical = sheet();
    typical.push(row("临河社会福利服务中心", "临河街道办事处", number("80"), number("62"), "刘洋"));
    typical.push(row("东方广场社会福利服务中心", "东方广场街道办事处", number("40"), number("40"), "陈静"));
    let mut quirks = sheet();
    quirks.push(row("临河第一 福利中心", "临河街道", text("60张"), text("58人"), "空缺"));
    quirks.push(row("临河第二福利中心", "", number("30"), number("35"), "杨 光"));
    quirks.merged.push((0, 1, 1));
    quirks.push(row("兴隆福利中心", "兴隆乡", Cell::Blank, number("12"), ""));
    quirks.push(row("会展福利中心（已撤并）", "会展", number("0"), number("0"), "无"));
    quirks.push(row("合计", "", number("90"), number("105"), ""));
    let mut faults = sheet();
    faults.push(row("甲福利中心", "临河街道", text("约60"), number("20"), ""));
    faults.push(row("乙福利中心", "临河街道", number("60"), text("不详"), ""));
    faults.push(row("丙福利中心", "临河街道", Cell::Formula("1/0".into(), "#DIV/0!".into()), number("20"), ""));
    faults.push(row("丁福利中心", "临河街道", number("60"), number("20"), ""));
    vec![
        ("zx.220171-201707.xlsx", vec![typical]),
        ("zx.220171-201708-quirks.xlsx", vec![quirks]),
        ("zx.220171-201709-faults.xlsx", vec![faults]),
    ]
}

fn residents() -> Books {
    const COLUMNS: [&str; 5] = ["序号", "中心名称", "姓名", "身份证号", "入住日期"];
    let sheet = || Sheet::new("入住", &["农村社会福利服务中心入住人员名册"], &COLUMNS);
    let row = |serial: &str, home: &str, name: &str, id: Cell, day: Cell| vec![number(serial), text(home), text(name), id, day];
    let mut typical = sheet();
    typical.push(row("1", "临河社会福利服务中心", "孙福", Cell::text(id("19400315", 1)), Cell::Date(date!(2013 - 10 - 01))));
    typical.push(row("2", "临河社会福利服务中心", "周桂兰", Cell::text(id("19381120", 24)), Cell::Date(date!(2015 - 04 - 12))));
    let mut quirks = sheet();
    quirks.push(row("1", "临河社会福利服务中心", "孙　福", Cell::text("220171400315001"), Cell::Serial(date!(2013 - 10 - 01))));
    quirks.push(row("2", "", "吴贵", Cell::text(id("19420101", 31).to_lowercase()), Cell::text("2014年春")));
    quirks.merged.push((0, 1, 1));
    let mut faults = sheet();
    faults.push(row("1", "临河社会福利服务中心", "孙福", Cell::Number(220_171_194_003_150_010.0), Cell::Blank));
    faults.push(row("2", "临河社会福利服务中心", "周桂兰", Cell::Blank, Cell::Blank));
    faults.push(row("3", "临河社会福利服务中心", "吴贵", Cell::text("220171194201010310"), Cell::Blank));
    faults.push(row("4", "临河社会福利服务中心", "郑禄", Cell::text(id("19410909", 9)), Cell::Blank));
    vec![
        ("rz.220171-201707.xlsx", vec![typical]),
        ("rz.220171-201708-quirks.xlsx", vec![quirks]),
        ("rz.220171-201709-faults.xlsx", vec![faults]),
    ]
}

/// Code, name, then seven cells.
fn unit(code: Cell, name: &str, rest: [Cell; 7]) -> Vec<Cell> {
    [vec![code, text(name)], rest.to_vec()].concat()
}

fn units() -> Books {
    const COLUMNS: [&str; 9] =
        ["代码", "名称", "户数", "用房面积", "两委人数", "平均年龄", "大专以上比例", "任期届满", "培训班次 / 人次"];
    let titles = ["城乡社区基本情况统计表", "　　　　　　　　队伍　　　　　　　培训"];
    let sheet = |name: &str| Sheet::new(name, &titles, &COLUMNS);
    let cells = |households: &str, area: &str, members: &str, age: &str, share: &str, ends: Date, training: &str| {
        [number(households), number(area), number(members), number(age), number(share), Cell::Date(ends), text(training)]
    };
    let term = date!(2019 - 06 - 30);
    let mut typical = sheet("社区");
    typical.push(unit(Cell::text("220171001001"), "浦东路社区", cells("3200", "640", "9", "41.5", "0.8889", term, "2/12")));
    typical.push(unit(
        Cell::text("220171001002"),
        "昆山路社区",
        cells("2875", "510.5", "7", "44.142857", "0.714286", term, "1/7"),
    ));
    let mut quirks = sheet("社区");
    quirks.push(unit(
        Cell::Number(220_171_001_003.0),
        "威海路 社区",
        [
            number("3100"),
            text("约600"),
            text("9人"),
            text("42岁"),
            text("66.67%"),
            Cell::Serial(term),
            Cell::Date(date!(2017 - 02 - 12)),
        ],
    ));
    quirks.push(unit(
        Cell::text("220171002200"),
        "杨家农村社区",
        [text("410户"), text("220㎡"), number("5"), number("51"), number("40"), text("2018年底"), text("3期、45人次")],
    ));
    quirks.push(unit(
        Cell::text("220102001001"),
        "",
        [number("10"), Cell::Blank, Cell::Blank, Cell::Blank, Cell::Blank, Cell::Blank, Cell::Blank],
    ));
    quirks.push(unit(
        text("合计"),
        "",
        [number("9595"), Cell::Blank, Cell::Blank, Cell::Blank, Cell::Blank, Cell::Blank, Cell::Blank],
    ));
    let mut faults = sheet("社区");
    let plain = || cells("100", "50", "5", "40", "0.5", term, "1/5");
    faults.push(unit(Cell::text("220171009999"), "没有的社区", plain()));
    faults.push(unit(Cell::text("220171001"), "临河街道办事处", plain()));
    let mut many = plain();
    many[0] = text("三百余");
    faults.push(unit(Cell::text("220171001004"), "临河社区", many));
    let mut none = plain();
    none[0] = Cell::Blank;
    faults.push(unit(Cell::text("220171001005"), "珠海路社区", none));
    let mut formula = plain();
    formula[5] = Cell::Formula("X1".into(), "#REF!".into());
    faults.push(unit(Cell::text("220171001006"), "北海路社区", formula));
    faults.push(unit(Cell::text("220171001007"), "泰山路社区", plain()));
    let mut village = sheet("村");
    village.push(unit(Cell::text("220171002201"), "黎明村委会", cells("380", "200", "5", "48.2", "0.2", term, "1/5")));
    village.push(unit(Cell::Number(220_171_002_202.0), "三道村委会", cells("295", "160", "3", "50.333333", "0", term, "0/0")));
    let mut bad_village = sheet("村");
    bad_village.push(unit(Cell::text("22017100220"), "少一位", plain()));
    bad_village.push(unit(Cell::text("220171002200"), "杨家村委会", plain()));
    vec![
        ("sq.220171-201706.xlsx", vec![typical]),
        ("sq.220171-201709-quirks.xlsx", vec![quirks]),
        ("sq.220171-201712-faults.xlsx", vec![faults]),
        ("cun.220171-201706.xlsx", vec![village]),
        ("cun.220171-201712-faults.xlsx", vec![bad_village]),
    ]
}

const TK: [Field; 11] = [
    field("XM", b'C', 20, 0),
    field("XB", b'C', 2, 0),
    field("SFZH", b'C', 18, 0),
    field("CSRQ", b'D', 8, 0),
    field("GYFS", b'C', 1, 0),
    field("ZLNL", b'C', 1, 0),
    field("JGMC", b'C', 40, 0),
    field("GYBZ", b'N', 8, 2),
    field("RYRQ", b'D', 8, 0),
    field("XZDM", b'C', 9, 0),
    field("BZ", b'M', 10, 0),
];

const fn field(name: &'static str, kind: u8, length: u8, decimals: u8) -> Field {
    Field { name, kind, length, decimals }
}

/// Rows of a county: eleven texts, the last one of the memo, and whether the row is deleted.
fn county(rows: &[([&str; 11], bool)], code_page: CodePage) -> (Vec<u8>, Vec<u8>) {
    let (mut table, mut memos) = (Table::new(&TK), Memos::default());
    for (row, deleted) in rows {
        let mut values = row.map(str::to_owned);
        if !row[10].is_empty() && row[10].parse::<u32>().is_err() {
            values[10] = memos.push(row[10]);
        }
        table.push(&values, *deleted);
    }
    (table.bytes(date!(2017 - 07 - 01), code_page), memos.bytes())
}

fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Archive::new(Names::Gbk);
    files.iter().for_each(|(name, bytes)| archive.push(name, bytes).unwrap());
    archive.bytes()
}

fn tekun() -> Vec<(&'static str, Vec<u8>)> {
    let (one, two, three) = (id("19400315", 1), id("19381120", 24), id("19420101", 31));
    let home = "临河街道敬老院";
    let (dbf, fpt) = county(
        &[
            (
                ["孙福", "男", &one, "19400315", "1", "1", home, "520.00", "20131001", "220171001", "入院体检正常，无重大疾病。"],
                false,
            ),
            (["周桂兰", "女", &two, "19381120", "1", "3", home, "680.50", "20150412", "220171001", ""], false),
            (["吴贵", "男", &three, "19420101", "2", "2", "", "380.00", "", "220171002", ""], false),
        ],
        CodePage::Gbk,
    );
    let (other, other_memos) = county(
        &[(["刘长海", "男", &id("19450606", 3), "19450606", "2", "1", "", "380.00", "", "220102001", "由侄子照料。"], false)],
        CodePage::Unmarked,
    );
    let typical = pack(&[
        ("TK220171.DBF", &dbf),
        ("TK220171.FPT", &fpt),
        ("TK220102.DBF", &other),
        ("tk220102.fpt", &other_memos),
        ("2017年7月说明.txt", b"2 counties"),
    ]);
    let long = "巡访记录。".repeat(120);
    let (quirks, memos) = county(
        &[
            (["孙　福", "女", "220171400315001", "", "1", "1", home, "520.00", "20131001", "220171001", &long], false),
            (["周桂兰", "女", &two, "19381121", "1", "3", home, "", "20150412", "", ""], false),
            (["无号人", "男", "", "19500101", "2", "2", "", "380.00", "", "220171002", ""], false),
            (["错号人", "男", "220171195001010010", "19500101", "2", "2", home, "380.00", "", "220102001", ""], false),
        ],
        CodePage::Unmarked,
    );
    let (gone, none) =
        county(&[(["孙福", "男", &one, "19400315", "1", "1", home, "520.00", "20131001", "220171001", ""], true)], CodePage::Gbk);
    let (faults, fault_memos) = county(
        &[
            (["甲", "男", &one, "19400315", "3", "1", "", "520.00", "", "220171001", ""], false),
            (["乙", "男", &one, "19400315", "1", "9", "", "520.00", "", "220171001", ""], false),
            (["丙", "男", &one, "19400315", "1", "1", "", "520.00", "", "220199001", ""], false),
            (["丁", "男", "", "", "1", "1", "", "520.00", "", "220171001", ""], false),
            (["戊", "男", &one, "19400315", "1", "1", "", "520.00", "20171332", "220171001", ""], false),
            (["己", "男", &one, "19400315", "1", "1", "", "520.00", "", "220171001", "999999"], false),
            (["庚", "男", &three, "19420101", "1", "1", "", "520.00", "", "220171001", "好"], false),
        ],
        CodePage::Gbk,
    );
    let cut = &fpt[..512];
    vec![
        ("tk.201707.zip", typical),
        ("tk.201708-quirks.zip", pack(&[("长春市/TK220171.dbf", &quirks), ("长春市/TK220171.fpt", &memos)])),
        ("tk.201709-deleted.zip", pack(&[("TK220171.DBF", &gone), ("TK220171.FPT", &none)])),
        ("tk.201710-faults.zip", pack(&[("TK220171.DBF", &faults), ("TK220171.FPT", &fault_memos)])),
        (
            "tk.201711-one-county-cut.zip",
            pack(&[("TK220102.DBF", &other), ("TK220102.FPT", &other_memos), ("TK220171.DBF", &dbf), ("TK220171.FPT", cut)]),
        ),
    ]
}

/// Names and contents; compressors of other versions pack otherwise.
fn parts(bytes: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let entries = (0..archive.len()).map(|index| {
        let mut entry = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.name_raw().to_vec(), content)
    });
    entries.collect()
}

#[test]
fn the_samples_are_what_is_written_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, bytes) in samples() {
        if env::var_os("WRITE_SAMPLES").is_some() {
            fs::write(root.join(&name), &bytes).unwrap();
        }
        let committed = fs::read(root.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}; WRITE_SAMPLES=1 writes it"));
        assert!(parts(&committed) == parts(&bytes), "{name} is another file; WRITE_SAMPLES=1 writes it anew");
    }
}
