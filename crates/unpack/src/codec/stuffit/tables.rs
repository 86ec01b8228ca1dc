//! Tables of the methods 13 and 15 of StuffIt. Facts of the format, as `docs/sit13.md` and `docs/sit15.md` of the
//! peeler project (MIT) and the stuffit crate (MIT or Apache-2.0) have them.

/// Lengths of the codes of the five built-in sets of method 13, one digit to base 36 for each symbol: the code after a
/// literal, the code after a match, the code of distances.
pub const SETS: [[&[u8]; 3]; 5] = [
    [
        b"45788999979998999999999a99aa9a9959999a999999997998999999999999999899889999999789799779999a9aaa999598\
          7598879988557a585899999a99a99aaaaaaa9aaaaaaa9aaaaaaaaaaaaaaa9aaaaaaa99aaaaaaaaaaaaaaaa9aaaaa9aaaaaaa\
          aaaaaaaaaaaaaaaaaaaaaaaa9aaaaaaaaaaa99aa9aaaaaaa9aaa9a956558999999aaa9aaaaaaaaaaaaaaaaaaaaa9a999a9a9\
          a9a9aaa9a9aa999699a95",
        b"456677677768788889698989998a5979698a9a8899798989886998899a899a8a8888897a699b78898a7869a99a8b9b9a9898\
          888a99aa89888b98899a8baa8a9a899b9b9aabac9cabab9aababababaaa9998768bb9cac9bbbacbbacabaaababbb9cacbcab\
          acbcbcbcacbcbbacabacacacabbbabbbacbcaabb9cbcabacabacaba754667778877686779899abbbcbabcbcbccccbccbcbcb\
          dbcadaeedefegffiii9i8",
        b"56333333346",
    ],
    [
        b"4778788887878798889999aa9aaaaa9959899ba9899989788899999a999a99a988777889889988787a8779999aabbba98687\
          75777698676679666788889a9a9989aa9aa99aaaaaaa9aabaaaaaaababaa9baaaaaa99abababacabacbcacababbb9abbbcca\
          aabbabaa9bababbbabbcbbaaabaabbcaabbcbbab9cabbbababab9a97356677888999baaacdbccbdccbccdcededfdeffedffe\
          feffefddeffeeggfffcfa",
        b"566667777778787778888989899979886989898989898988888989899a8a899888788989798a8989898889999a9b9a9a8889\
          8889989a89888b8789999a9a9a98899a9a9a8a9a9bab9baaab9b9a9b9baa9a998a9b999bab9b9b9bababab9aabaa8a9aab9b\
          9aab9aa99a9a9a9a9b9baa9a9b9b9b9a9b9b9b9a8b9a9a9a8a898987445666777788878899aaaaaabbaacbbccbccbccccccb\
          cbdcdcdeeefdedeiih7g9",
        b"5644333334446",
    ],
    [
        b"6666698849898999899a8aaa9aaa9aa9998a9a9a9a9a99898999aaaa999a9a9978898999899a99898988899999aaaaa98898\
          978898aa89888a88889999aaaaa9799aaaaa9aaaaaa99aaaaaaaa9aaaaaa9aaaaaaa999aaaaaaaaaaaaaaa9aaaa989aaaaaa\
          aaaa9aaa9aaaaaaaaaaaaaa99aaaaaa9aaaaaa999aaaaaa99a998989466678899aaa9aaaaaaaaaaaaaaaaa7aaa7aa7777767\
          a77a77767667766969a6a",
        b"56666777687879887789999a899a8a986a8a8a99999a998989899a9a998a9ba88889799a898b9a9a89999899aaacabaa8999\
          8988a9ab8a998c8999989a9caaa87ba9ab9b7bacacab9b9cacaca9bcacab9a9a9bbc9a8cbc9cacadacacaca9aca98bacacac\
          abac8cabaaac9bacacbca9ac9aacababac8c9c8c8babab9a8a99898743556566778887779899b9b9899bcbccddcdedededdd\
          cddcddeeddeeeefihi8ga",
        b"67443333344457",
    ],
    [
        b"266778787889899988999aa98a9a9a9969899a999a9999888889999999999aa977888899789a88788a8889899a9bab998798\
          868887a978778a77789999ab9ba979aaabbaabaaabba9aabababaaababaa9aabaaaa9aaaababababbbacabababba8aababbb\
          abababbb9abbabbbabbbaaaaabaabbaa9baabbaaabaaaaaa9baa8a86566778889abaabbccabccccdddddcddfecefgccdfegf\
          hifhgffffddaecdhhiah4",
        b"4566667767796887788869887989898969898a998a8a8989887999998a9a9a98789989997a9a99898988899a998b9baa88a8\
          8999a9ab999989888aa998ababb989ab9abb9caaacbb9bbc9b9aaaac9bab9bbbabbc9aacbbab9babab9bb98babba7cbbbbbc\
          acbdbacbabababbbacbbabaaabacbcab9bababac9bbb9baa9baa9a974555667687899788a9aacabbbbabcbbbbbdcbcdcccdb\
          9cd7dbdbabdffcefff6f5",
        b"36542333446",
    ],
    [
        b"79999999989997999999999a9a9a9a9959799999777977878877999977799999979777799799777779787999999999999787\
          778867977875695756779899999999a9aaa99aaaaaaa9aaaaaaaaaaa9aaa9aaa99a9999aaaaaaaaaaa9aaaaaaaaa9aaa9aaa\
          999aaaaa9a9aa9aa9aaaaaaa9aaaaaaaaaaaaaaa9aaaaaaa9a9a9aa9568877799999999999999999999999999aaaaaaaaaaa\
          aaaaaaaaaaaa9aa5a8989",
        b"8abbbcbbc6bca5cccccccddeddcdcdcf4a79bba967896767877888888987a9aab786788987aa87887a767998bbbabbb8b676\
          666876a967667a656777a8b9d7egceeffggeffffffffefdeegfhehfhcedgchdheddeecdffefhehfefgcgfefgfghhffhhdeff\
          dcgghefgffddfdghfhhhghehegfhffehfhfgffggehhffgfhfegggggc4455666777888899999aaababbbbbcccddcdceecdddd\
          ecddeeedeeffdfdhhh9h7",
        b"67764322336",
    ],
];

/// The code that code lengths are written in: bits of each symbol, the first one as the most significant, and how many.
#[rustfmt::skip]
pub const META: [(u16, u8); 37] = [
    (0x0DD, 11), (0x01A, 8), (0x002, 8), (0x003, 8), (0x000, 8), (0x00F, 7), (0x035, 6), (0x005, 5),
    (0x006, 5), (0x007, 5), (0x01B, 5), (0x034, 6), (0x001, 5), (0x001, 6), (0x00E, 7), (0x00C, 7),
    (0x036, 9), (0x1BD, 12), (0x006, 10), (0x00B, 11), (0x00E, 11), (0x01F, 12), (0x01E, 12), (0x009, 11),
    (0x008, 11), (0x00A, 11), (0x1BC, 12), (0x1BF, 12), (0x1BE, 12), (0x1B9, 12), (0x1B8, 12), (0x004, 5),
    (0x002, 2), (0x001, 2), (0x007, 3), (0x00C, 4), (0x002, 5),
];

/// Steps from one byte to the next whose lowest bit is flipped, in a block of method 15 that says so.
#[rustfmt::skip]
pub const RANDOM: [u16; 256] = [
    0xEE, 0x56, 0xF8, 0xC3, 0x9D, 0x9F, 0xAE, 0x2C, 0xAD, 0xCD, 0x24, 0x9D, 0xA6, 0x101, 0x18, 0xB9,
    0xA1, 0x82, 0x75, 0xE9, 0x9F, 0x55, 0x66, 0x6A, 0x86, 0x71, 0xDC, 0x84, 0x56, 0x96, 0x56, 0xA1,
    0x84, 0x78, 0xB7, 0x32, 0x6A, 0x3, 0xE3, 0x2, 0x11, 0x101, 0x8, 0x44, 0x83, 0x100, 0x43, 0xE3,
    0x1C, 0xF0, 0x86, 0x6A, 0x6B, 0xF, 0x3, 0x2D, 0x86, 0x17, 0x7B, 0x10, 0xF6, 0x80, 0x78, 0x7A,
    0xA1, 0xE1, 0xEF, 0x8C, 0xF6, 0x87, 0x4B, 0xA7, 0xE2, 0x77, 0xFA, 0xB8, 0x81, 0xEE, 0x77, 0xC0,
    0x9D, 0x29, 0x20, 0x27, 0x71, 0x12, 0xE0, 0x6B, 0xD1, 0x7C, 0xA, 0x89, 0x7D, 0x87, 0xC4, 0x101,
    0xC1, 0x31, 0xAF, 0x38, 0x3, 0x68, 0x1B, 0x76, 0x79, 0x3F, 0xDB, 0xC7, 0x1B, 0x36, 0x7B, 0xE2,
    0x63, 0x81, 0xEE, 0xC, 0x63, 0x8B, 0x78, 0x38, 0x97, 0x9B, 0xD7, 0x8F, 0xDD, 0xF2, 0xA3, 0x77,
    0x8C, 0xC3, 0x39, 0x20, 0xB3, 0x12, 0x11, 0xE, 0x17, 0x42, 0x80, 0x2C, 0xC4, 0x92, 0x59, 0xC8,
    0xDB, 0x40, 0x76, 0x64, 0xB4, 0x55, 0x1A, 0x9E, 0xFE, 0x5F, 0x6, 0x3C, 0x41, 0xEF, 0xD4, 0xAA,
    0x98, 0x29, 0xCD, 0x1F, 0x2, 0xA8, 0x87, 0xD2, 0xA0, 0x93, 0x98, 0xEF, 0xC, 0x43, 0xED, 0x9D,
    0xC2, 0xEB, 0x81, 0xE9, 0x64, 0x23, 0x68, 0x1E, 0x25, 0x57, 0xDE, 0x9A, 0xCF, 0x7F, 0xE5, 0xBA,
    0x41, 0xEA, 0xEA, 0x36, 0x1A, 0x28, 0x79, 0x20, 0x5E, 0x18, 0x4E, 0x7C, 0x8E, 0x58, 0x7A, 0xEF,
    0x91, 0x2, 0x93, 0xBB, 0x56, 0xA1, 0x49, 0x1B, 0x79, 0x92, 0xF3, 0x58, 0x4F, 0x52, 0x9C, 0x2,
    0x77, 0xAF, 0x2A, 0x8F, 0x49, 0xD0, 0x99, 0x4D, 0x98, 0x101, 0x60, 0x93, 0x100, 0x75, 0x31, 0xCE,
    0x49, 0x20, 0x56, 0x57, 0xE2, 0xF5, 0x26, 0x2B, 0x8A, 0xBF, 0xDE, 0xD0, 0x83, 0x34, 0xF4, 0x17,
];
