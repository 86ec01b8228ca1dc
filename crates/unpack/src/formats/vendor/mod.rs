//! Update containers of equipment vendors.

use crate::format::Format;

pub mod broadcom;
pub mod chk;
pub mod cisco;
pub mod dlink;
pub mod huawei;
pub mod mikrotik;
pub mod onie;
pub mod qnap;
pub mod seama;
pub mod technicolor;
pub mod tplink;
pub mod ubiquiti;
pub mod various;
pub mod zte;
pub mod zyxel;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[
    &broadcom::CFE,
    &broadcom::PROGRAM_STORE,
    &broadcom::TAG,
    &chk::FORMAT,
    &cisco::MZIP,
    &dlink::ENCRPTED,
    &dlink::MH01,
    &dlink::SHRS,
    &dlink::TLV,
    &huawei::HWNP,
    &huawei::UPDATE_APP,
    &mikrotik::FORMAT,
    &onie::FORMAT,
    &qnap::FORMAT,
    &seama::FORMAT,
    &technicolor::FORMAT,
    &tplink::FORMAT,
    &tplink::SAFELOADER,
    &ubiquiti::FORMAT,
    &various::BDL,
    &various::BNEG,
    &various::HDR1,
    &various::IPKG,
    &various::OPENSSL,
    &various::SENAO,
    &various::SERCOMM,
    &various::WINCE,
    &various::WIND,
    &zte::FORMAT,
    &zte::PAYLOAD,
    &zyxel::ZYNOS,
    &zyxel::ZYTRX,
];
