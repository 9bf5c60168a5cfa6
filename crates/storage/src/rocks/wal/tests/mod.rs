//! Real logs, written by RocksDB, damaged in every way the module's documentation names, checked, and opened again by RocksDB:
//! what it then holds must be exactly the records before the damage.

mod damage;
mod image;
mod odd;
mod unused;
