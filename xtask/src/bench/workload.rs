//! What is written to the source before, or while, it is read.

/// How a table is made and changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workload {
    /// The part of a figure's name that says which it is.
    pub(super) name: &'static str,
    /// Makes the table `orders`, with a key `id`.
    table: &'static str,
    /// Changes the rows from `:first` to `:last`, each once.
    change: &'static str,
    /// Length of the one long column, where there is one.
    body: u32,
    /// What has to be there before the first change that counts, for the rows from `:first` to `:last`.
    before: Option<&'static str>,
    pub(super) rows_per_transaction: u64,
    /// How many times fewer rows than `--rows`: some are longer, some take longer to write.
    pub(super) fewer: u64,
}

const ORDERS: &str = include_str!("sql/orders.sql");
const INSERT_ORDERS: &str = include_str!("sql/insert_orders.sql");

/// Seven mixed columns, about 150 bytes, in transactions of 1,000 rows.
pub(super) const INSERTS: Workload = Workload {
    name: "drain",
    table: ORDERS,
    change: INSERT_ORDERS,
    body: 0,
    before: None,
    rows_per_transaction: 1000,
    fewer: 1,
};

/// The same into topics.
pub(super) const TO_TOPICS: Workload = Workload { name: "kafka", ..INSERTS };

/// All of them in a single transaction.
pub(super) const ONE_TRANSACTION: Workload =
    Workload { name: "transaction", rows_per_transaction: u64::MAX, ..INSERTS };

/// The other shapes of changes.
pub(super) const OTHERS: [Workload; 4] = [
    Workload {
        name: "updates-full",
        change: include_str!("sql/update_orders.sql"),
        before: Some(concat!(include_str!("sql/insert_orders.sql"), "; alter table orders replica identity full")),
        fewer: 2,
        ..INSERTS
    },
    Workload { name: "rows-200", body: 176, fewer: 2, ..WIDE },
    Workload { name: "rows-2k", body: 1960, fewer: 4, ..WIDE },
    Workload { name: "one-row-transactions", rows_per_transaction: 1, fewer: 5, ..INSERTS },
];

const WIDE: Workload =
    Workload { table: include_str!("sql/wide.sql"), change: include_str!("sql/insert_wide.sql"), ..INSERTS };

impl Workload {
    /// Makes the tables, and the procedure `load(first, last, rows_each)`.
    pub(super) fn schema(&self) -> String {
        let change = self.changing("first", "upto").replace(":body", &self.body.to_string());
        let load = include_str!("sql/load.sql").replace(":change", change.trim_end());
        format!("{};\n{load}", self.table)
    }

    /// What has to be there before the slot: rows to be updated.
    pub(super) fn before(&self, rows: u64) -> Option<String> {
        Some(self.before?.replace(":first", "1").replace(":last", &rows.to_string()))
    }

    /// Changes the rows from `first` to `last`.
    pub(super) fn load(&self, first: u64, last: u64) -> String {
        let rows_each = self.rows_per_transaction.min(last);
        format!("call load({first}, {last}, {rows_each})")
    }

    fn changing(&self, first: &str, last: &str) -> String {
        self.change.replace(":first", first).replace(":last", last)
    }
}
