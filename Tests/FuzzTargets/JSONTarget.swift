import JSON
import TestSupport

/// What a check accepts is what a parser reads, and what a parser reads is within its limits.
struct JSONTarget: FuzzTarget {
    let samples = [
        #"{"a":[1,-2.5e3,true,null,"x\u00e9\ud83d\ude00"],"b":{"c":[],"d":{}},"e":9007199254740993,"f":0.1}"#,
        #"[[[["\\\"\/\b\f\n\r\t"]]],{"":{"":0}}, false , 1E+2 ]"#,
    ].map { Array($0.utf8) }
    let words = [#""a":"#, #"\ud83d\ude00"#, #"\udc00"#, #"\u0061"#, "é"]

    func feed(_ bytes: [UInt8]) throws -> Bool {
        let limits = JSONLimits(byteCount: 1 << 16, depth: 16, valueCount: 1 << 12)
        let value = try? JSONValue(parsing: bytes, limits: limits)
        guard ((try? StrictJSON.check(bytes, limits: limits)) != nil) == (value != nil) else {
            throw FuzzFailure("checking and parsing disagree")
        }
        guard let value else { return false }
        guard value.depth <= 16 else { throw FuzzFailure("nested \(value.depth) deep") }
        return true
    }
}

extension JSONValue {
    fileprivate var depth: Int {
        switch self {
        case .array(let elements): 1 + (elements.map(\.depth).max() ?? 0)
        case .object(let members): 1 + (members.map(\.value.depth).max() ?? 0)
        default: 0
        }
    }
}
