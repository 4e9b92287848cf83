//! The fenced blocks of a page, and what its YAML blocks are.

/// A fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// What follows the opening fence.
    pub(crate) language: String,
    /// What is between the fences.
    pub(crate) text: String,
    /// The line of the opening fence.
    pub(crate) line: usize,
}

/// What a YAML block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Yaml {
    /// A config with sources and destinations.
    WholeConfig,
    /// Some sections of a config.
    PartOfConfig,
    /// Detections and correlations.
    Rules,
    /// Filters only, for the shipped rules.
    Filter,
    /// An object of Kubernetes.
    Kubernetes,
}

/// Returns the blocks of a page. An indented fence counts as well, with its indentation taken off.
///
/// # Panics
///
/// When a block does not end.
pub(crate) fn read(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(Block, usize)> = None;
    for (index, line) in page.lines().enumerate() {
        let indentation = line.len() - line.trim_start().len();
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                let block = Block { language: language.trim().to_owned(), text: String::new(), line: index + 1 };
                open = Some((block, indentation));
            }
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
            (Some((block, indentation)), None) => {
                block.text.push_str(line.get(*indentation..).unwrap_or_default());
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end: {open:?}");
    blocks
}

impl Block {
    fn has_key(&self, key: &str) -> bool {
        self.text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))
    }

    /// Returns what a YAML block is, by its keys on top.
    pub(crate) fn yaml(&self) -> Yaml {
        match () {
            () if self.has_key("apiVersion") => Yaml::Kubernetes,
            () if self.has_key("detection") || self.has_key("correlation") => Yaml::Rules,
            () if self.has_key("filter") => Yaml::Filter,
            () if self.has_key("sources") && self.has_key("notify") => Yaml::WholeConfig,
            () => Yaml::PartOfConfig,
        }
    }

    /// Returns the block with the sections that a config needs besides.
    pub(crate) fn whole_config(&self) -> String {
        let mut config = self.text.clone();
        if !self.has_key("sources") {
            config.push_str("sources: [{name: onprem, file: {path: audit.log}}]\n");
        }
        if !self.has_key("notify") {
            config.push_str("notify: [{name: out, stdout: {}}]\n");
        }
        config
    }
}
