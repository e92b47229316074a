//! Metrics, and their text forms: OpenMetrics 1.0, and the older one of Prometheus (version 0.0.4).

use std::fmt;
use std::fmt::Write;

/// How the values of a family are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Samples of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name, of letters, digits and underscores; a counter's without `_total`.
    pub name: String,
    /// What it counts or measures, in a sentence.
    pub help: String,
    /// How its values are meant.
    pub kind: Kind,
    /// The values.
    pub samples: Vec<Sample>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: u64,
}

/// A text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus, version 0.0.4.
    Prometheus,
}

impl Format {
    /// What a client likes best that sends this `Accept` (RFC 9110 section 12.5.1). OpenMetrics only if it is named: the older form can be
    /// read by everyone.
    pub fn preferred(accept: &str) -> Self {
        let weight = |media_type: &str| {
            let named = accept.split(',').find_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let is_named = parts.next()?.eq_ignore_ascii_case(media_type);
                let q = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
                is_named.then_some(q.unwrap_or(1.0))
            });
            named.unwrap_or(0.0)
        };
        let open_metrics = weight("application/openmetrics-text");
        if open_metrics > 0.0 && open_metrics >= weight("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Prints families in a text form.
pub struct Exposition<'a>(pub &'a [Family], pub Format);

impl fmt::Display for Exposition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for family in self.0 {
            write_family(f, family, self.1)?;
        }
        match self.1 {
            Format::OpenMetrics => writeln!(f, "# EOF"),
            Format::Prometheus => Ok(()),
        }
    }
}

fn write_family(f: &mut fmt::Formatter<'_>, family: &Family, format: Format) -> fmt::Result {
    let (kind, suffix) = match family.kind {
        Kind::Counter => ("counter", "_total"),
        Kind::Gauge => ("gauge", ""),
    };
    // OpenMetrics names the family without the suffix of its samples, the older form as the samples.
    let family_suffix = match format {
        Format::OpenMetrics => "",
        Format::Prometheus => suffix,
    };
    let name = &family.name;
    writeln!(f, "# TYPE {name}{family_suffix} {kind}")?;
    writeln!(f, "# HELP {name}{family_suffix} {}", Escaped(&family.help))?;
    for sample in &family.samples {
        write!(f, "{name}{suffix}")?;
        for (index, (label, value)) in sample.labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            write!(f, "{before}{label}=\"{}\"", Escaped(value))?;
        }
        let close = if sample.labels.is_empty() { "" } else { "}" };
        writeln!(f, "{close} {}", sample.value)?;
    }
    Ok(())
}

/// Text without what would end its line or its quotation.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families() -> Vec<Family> {
        vec![
            Family {
                name: "rootplex_events".to_string(),
                help: "Events, by port.".to_string(),
                kind: Kind::Counter,
                samples: vec![Sample {
                    labels: vec![
                        ("port", "a \"b\"\\\n".to_string()),
                        ("kind", "link".to_string()),
                    ],
                    value: 3,
                }],
            },
            Family {
                name: "rootplex_ports".to_string(),
                help: "Ports.".to_string(),
                kind: Kind::Gauge,
                samples: vec![Sample {
                    labels: vec![],
                    value: 2,
                }],
            },
        ]
    }

    #[test]
    fn open_metrics() {
        assert_eq!(
            Exposition(&families(), Format::OpenMetrics).to_string(),
            "# TYPE rootplex_events counter\n\
             # HELP rootplex_events Events, by port.\n\
             rootplex_events_total{port=\"a \\\"b\\\"\\\\\\n\",kind=\"link\"} 3\n\
             # TYPE rootplex_ports gauge\n\
             # HELP rootplex_ports Ports.\n\
             rootplex_ports 2\n\
             # EOF\n"
        );
    }

    #[test]
    fn a_client_gets_the_form_it_likes_best() {
        for (accept, format) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain", Format::Prometheus),
            ("application/openmetrics-text", Format::OpenMetrics),
            // What Prometheus 3 sends.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            (
                "text/plain, Application/OpenMetrics-Text; q=0.5",
                Format::Prometheus,
            ),
            ("application/openmetrics-text;q=0", Format::Prometheus),
        ] {
            assert_eq!(Format::preferred(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_older_form_names_a_counter_with_its_suffix() {
        let text = Exposition(&families(), Format::Prometheus).to_string();
        assert!(
            text.starts_with("# TYPE rootplex_events_total counter\n"),
            "{text}"
        );
        assert!(text.ends_with("rootplex_ports 2\n"), "{text}");
    }
}
