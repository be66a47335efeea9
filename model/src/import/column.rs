//! The model's columns -> the classifier's features, by name where there are names.
//!
//! A table of `treeline features` has each feature twice: in its unit, and as the fixed-point integer under its name and `_fixed`.

use treeline_ebpf::feature::FEATURES;

use super::error::field;
use super::forest::{Column, Forest, Precision};
use super::unit::TimeUnit;
use super::{ImportError, Options};

/// Says which feature each column of the forest is. `options` has the columns' names as the caller knows them.
pub(crate) fn resolve(forest: &mut Forest, options: &Options) -> Result<(), ImportError> {
    let columns = match (options.features.as_deref(), forest.names.as_deref()) {
        (None, None) if forest.columns_count == FEATURES => (0..FEATURES).map(|feature| Column { feature, is_fixed: false }).collect(),
        (None, None) => return refused("columns", format!("{} without names, expected {FEATURES}", forest.columns_count)),
        (None, Some(names)) => named("the file's names", names)?,
        (Some(given), names) => {
            let columns = named("--features", given)?;
            if let Some(names) = names {
                contradicts(given, names)?;
            }
            columns
        }
    };
    if columns.len() != forest.columns_count {
        return refused("columns", format!("{} names for {} columns", columns.len(), forest.columns_count));
    }
    check_unit(&columns, forest.precision, options.time_unit)?;
    forest.columns = columns;
    Ok(())
}

/// The column of each name; no name may come twice.
fn named(place: &str, names: &[String]) -> Result<Vec<Column>, ImportError> {
    let mut columns = Vec::with_capacity(names.len().min(2 * FEATURES));
    for (number, name) in names.iter().enumerate() {
        let Some(column) = Column::of(name) else {
            return refused(&format!("{place}[{number}]"), format!("unknown feature {name:?}"));
        };
        if columns.contains(&column) {
            return refused(&format!("{place}[{number}]"), format!("{name:?} a second time"));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// Refuses given names that disagree with the file's where those are the classifier's.
fn contradicts(given: &[String], names: &[String]) -> Result<(), ImportError> {
    for (column, (given, name)) in given.iter().zip(names).enumerate() {
        if given != name && Column::of(name).is_some() {
            return refused(&format!("--features[{column}]"), format!("{given:?} where the file says {name:?}"));
        }
    }
    Ok(())
}

/// Refuses a unit that a column of integers contradicts.
fn check_unit(columns: &[Column], precision: Precision, unit: Option<TimeUnit>) -> Result<(), ImportError> {
    if precision == Precision::Exact && columns.iter().any(|column| column.is_fixed) {
        return refused("--features", "the paper's arrays are in fixed point already: name the features without _fixed".to_owned());
    }
    let times = || columns.iter().filter(|column| column.is_time());
    match unit {
        Some(unit) if unit != TimeUnit::Ns && times().count() > 0 && times().all(|column| column.is_fixed) => Err(field(
            "--time-unit",
            unit.name(),
            "ns, or no unit: the columns gap_fixed, gap_mean_fixed and gap_deviation_fixed count 1/65536 ns",
        )),
        _ => Ok(()),
    }
}

fn refused<T>(field: &str, found: String) -> Result<T, ImportError> {
    Err(ImportError::Features { field: field.to_owned(), found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_fixed_at_its_end_is_the_integer() {
        assert_eq!(Column::of("gap_mean"), Some(Column { feature: 7, is_fixed: false }));
        assert_eq!(Column::of("gap_mean_fixed"), Some(Column { feature: 7, is_fixed: true }));
        for unknown in ["gap_mean_fixed_fixed", "_fixed", "lag_fixed", "index"] {
            assert_eq!(Column::of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_unit_is_refused_where_all_times_are_integers() {
        let columns = |names: &[&str]| names.iter().filter_map(|name| Column::of(name)).collect::<Vec<_>>();
        let check = |names: &[&str], unit| check_unit(&columns(names), Precision::F32, unit).is_ok();
        assert!(!check(&["gap_fixed", "length"], Some(TimeUnit::Ms)));
        assert!(check(&["gap_fixed", "length"], Some(TimeUnit::Ns)));
        assert!(check(&["gap_fixed", "length"], None));
        assert!(check(&["gap_fixed", "gap"], Some(TimeUnit::Ms)));
        assert!(check(&["length_fixed"], Some(TimeUnit::Ms)));
    }
}
