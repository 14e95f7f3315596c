/// Texts of a fixed form that a schema's `format` asks for.
package enum StringFormat: String, CaseIterable, Sendable {
    /// RFC 3339: full-date, with the days that the month has in that year.
    case date
    /// RFC 3339: full-time, without leap seconds and with nine digits of a second at most.
    case time
    /// RFC 3339
    case dateTime = "date-time"
    /// RFC 4122
    case uuid
    /// RFC 2673, §3.2
    case ipv4
}

// All of it is digits, letters, '-', ':', '+' and '.': nothing that JSON escapes or that is a marker.
extension GrammarBuilder {
    private static let digit = "0123456789"

    package mutating func format(_ format: StringFormat, then next: StateID) throws(GrammarError) -> StateID {
        switch format {
        case .date: try date(then: next)
        case .time: try time(then: next)
        case .dateTime: try date(then: text("T", then: time(then: next)))
        case .uuid: try uuid(then: next)
        case .ipv4: try ipv4(then: next)
        }
    }

    /// One of each group's characters after the other.
    private mutating func spelt(_ groups: [String], then next: StateID) throws(GrammarError) -> StateID {
        var next = next
        for group in groups.reversed() { next = try set(ByteSet(group.utf8), then: next) }
        return next
    }

    /// One of several such texts.
    private mutating func spelt(oneOf texts: [[String]], then next: StateID) throws(GrammarError) -> StateID {
        try fork(texts.map { groups throws(GrammarError) in try spelt(groups, then: next) })
    }

    private mutating func date(then next: StateID) throws(GrammarError) -> StateID {
        let digit = Self.digit
        let days = [["0", "123456789"], ["12", digit]]
        let of30 = try spelt(oneOf: days + [["3", "0"]], then: next)
        let of31 = try spelt(oneOf: days + [["3", "01"]], then: next)
        let of28 = try spelt(oneOf: [days[0], ["1", digit], ["2", "012345678"]], then: next)
        let monthAndDay = try fork([
            spelt(["-", "0", "13578", "-"], then: of31), spelt(["-", "1", "02", "-"], then: of31),
            spelt(["-", "0", "469", "-"], then: of30), text("-11-", then: of30), text("-02-", then: of28),
        ])
        // Every fourth year, of the full centuries every fourth.
        let leapDay = try text("-02-29", then: next)
        let fourths = [["2468", "048"], ["13579", "26"]]
        let inCentury = try spelt(oneOf: fourths + [["0", "48"]], then: leapDay)
        return try fork([
            spelt([digit, digit, digit, digit], then: monthAndDay), spelt([digit, digit], then: inCentury),
            spelt(oneOf: fourths + [["0", "048"]], then: text("00", then: leapDay)),
        ])
    }

    private mutating func time(then next: StateID) throws(GrammarError) -> StateID {
        let digit = Self.digit
        let hours = [["01", digit], ["2", "0123"]]
        let minutes = [":", "012345", digit]
        let shifted = try spelt(oneOf: hours.map { ["+-"] + $0 + minutes }, then: next)
        let zone = try fork([text("Z", then: next), shifted])
        let fraction = try text(".", then: digits(9, then: zone))
        return try spelt(oneOf: hours.map { $0 + minutes + minutes }, then: fork([zone, fraction]))
    }

    private mutating func uuid(then next: StateID) throws(GrammarError) -> StateID {
        let groups = [8, 4, 4, 4, 12].map { Array(repeating: Self.digit + "abcdefABCDEF", count: $0) }
        return try spelt(Array(groups.joined(separator: ["-"])), then: next)
    }

    private mutating func ipv4(then next: StateID) throws(GrammarError) -> StateID {
        let digit = Self.digit
        let octets = [
            [digit], ["123456789", digit], ["1", digit, digit], ["2", "01234", digit], ["2", "5", "012345"],
        ]
        var start = next
        for place in 0..<4 { start = try spelt(oneOf: octets, then: place == 0 ? start : text(".", then: start)) }
        return start
    }
}
