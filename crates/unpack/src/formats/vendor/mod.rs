//! Update containers of equipment vendors.

use crate::format::Format;

pub mod airoha;
pub mod autel;
pub mod broadcom;
pub mod chk;
pub mod cisco;
pub mod dlink;
pub mod dlink_alpha;
pub mod dlink_archives;
pub mod h3c;
pub mod headers;
pub mod huawei;
pub mod instar;
pub mod jboot;
pub mod mikrotik;
pub mod moxa;
pub mod onie;
pub mod qnap;
pub mod sbfh;
pub mod seama;
pub mod sercomm;
pub mod technicolor;
pub mod tplink;
pub mod ubiquiti;
pub mod various;
pub mod vxworks_files;
pub mod xiaomi;
pub mod zte;
pub mod zyxel;
pub mod zyxel_ras;
pub mod zyxel_zld;

/// All formats of this family.
pub static FORMATS: &[&dyn Format] = &[
    &airoha::FORMAT,
    &autel::FORMAT,
    &broadcom::CFE,
    &broadcom::PROGRAM_STORE,
    &broadcom::TAG,
    &chk::FORMAT,
    &cisco::MZIP,
    &dlink::ENCRPTED,
    &dlink::MH01,
    &dlink::SHRS,
    &dlink::TLV,
    &dlink_alpha::ENCIMG,
    &dlink_alpha::WRGG,
    &dlink_archives::DEAFBEAD,
    &dlink_archives::FPKG,
    &h3c::FORMAT,
    &headers::DLOB,
    &headers::PACKIMG,
    &headers::RTK,
    &headers::TPLINK_RTOS,
    &headers::U2ND,
    &huawei::HWNP,
    &huawei::UPDATE_APP,
    &instar::BNEG,
    &instar::HD,
    &jboot::ARM,
    &jboot::SCH2,
    &jboot::STAG,
    &mikrotik::FORMAT,
    &moxa::FORMAT,
    &onie::FORMAT,
    &qnap::FORMAT,
    &sbfh::FORMAT,
    &seama::FORMAT,
    &sercomm::ENCRYPTED,
    &sercomm::HEADER,
    &technicolor::FORMAT,
    &tplink::FORMAT,
    &tplink::SAFELOADER,
    &ubiquiti::FORMAT,
    &various::BDL,
    &various::IPKG,
    &various::OPENSSL,
    &various::SENAO,
    &various::WINCE,
    &various::WIND,
    &vxworks_files::FORMAT,
    &xiaomi::HDR1,
    &xiaomi::HDR2,
    &zte::FORMAT,
    &zte::PAYLOAD,
    &zyxel::ZYNOS,
    &zyxel::ZYTRX,
    &zyxel_ras::FORMAT,
    &zyxel_zld::FORMAT,
];
