//! Two languages, Chinese first. Each text stands with its translation where it is used.

/// The language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Lang {
    #[default]
    Zh,
    En,
}

impl Lang {
    /// Of the two texts the one in this language.
    pub fn t<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }

    /// As `lang` in HTML.
    pub fn tag(self) -> &'static str {
        self.t("zh-CN", "en")
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "zh" => Some(Self::Zh),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// As in the cookie.
    pub fn code(self) -> &'static str {
        self.t("zh", "en")
    }

    pub fn other(self) -> Self {
        match self {
            Self::Zh => Self::En,
            Self::En => Self::Zh,
        }
    }
}

/// The names of states, kinds and stages that the store writes.
pub(super) fn word(lang: Lang, word: &str) -> String {
    let zh = match word {
        "received" => "收到",
        "dispatched" => "分发",
        "delivered" => "已交付",
        "rejected" => "拒收",
        "parked" => "搁置",
        "superseded" => "已过时",
        "duplicate" => "重复",
        "replaying" => "待重放",
        "underway" => "重放中",
        "replayed" => "已重放",
        "discarded" => "已放弃",
        "flagged" => "提示",
        "decided" => "人工决定",
        "seen" => "查看明文",
        "decode" => "解码",
        "map" => "映射",
        "route" => "路由",
        "deliver" => "交付",
        "open" => "待处理",
        "closed" => "已处理",
        "suppressed" => "已压下",
        "gone" => "已消失",
        "high" => "高",
        "medium" => "中",
        "low" => "低",
        "ok" => "正常",
        "warn" => "注意",
        "fail" => "故障",
        "viewer" => "查看员",
        "operator" => "运维员",
        "reviewer" => "审核员",
        "auditor" => "审计员",
        "administrator" => "管理员",
        _ => return word.to_owned(),
    };
    lang.t(zh, word).to_owned()
}
