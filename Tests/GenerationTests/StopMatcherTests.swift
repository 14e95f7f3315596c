import Generation
import Testing

@Suite struct StopMatcherTests {
    struct Case: Sendable {
        let text: String
        let stops: [String]
        let shown: String
        var isStopped = true
    }

    private static let cases = [
        Case(text: "one two three", stops: ["two"], shown: "one "),
        Case(text: "one two three", stops: ["three"], shown: "one two "),
        Case(text: "one two three", stops: ["four"], shown: "one two three", isStopped: false),
        Case(text: "one two thre", stops: ["three"], shown: "one two thre", isStopped: false),
        Case(text: "aaab", stops: ["aab"], shown: "a"),
        Case(text: "abababac", stops: ["ababac"], shown: "ab"),
        Case(text: "abcd", stops: ["bcd", "c"], shown: "ab"),
        Case(text: "abcd", stops: ["c", "abc"], shown: ""),
        Case(text: "a\n\nb", stops: ["\n\n"], shown: "a"),
        Case(text: "日本語の文", stops: ["語の"], shown: "日本"),
        Case(text: "🙂🙃🙂", stops: ["🙃"], shown: "🙂"),
        Case(text: "e\u{301}x", stops: ["\u{301}"], shown: "e"),
        Case(text: "anything", stops: ["", "ing"], shown: "anyth"),
        Case(text: "anything", stops: [""], shown: "anything", isStopped: false),
        Case(text: "anything", stops: [], shown: "anything", isStopped: false),
    ]

    /// In one piece, in every two pieces, in pieces of every length.
    @Test(arguments: cases)
    func piecesMakeNoDifference(_ test: Case) {
        let scalars = Array(test.text.unicodeScalars)
        var splits: [[String]] = [[test.text]]
        for place in 0...scalars.count {
            splits.append([text(scalars[..<place]), text(scalars[place...])])
        }
        for length in 1...max(1, scalars.count) {
            splits.append(
                stride(from: 0, to: scalars.count, by: length).map {
                    text(scalars[$0..<min($0 + length, scalars.count)])
                })
        }
        for pieces in splits {
            var matcher = StopMatcher(stops: test.stops)
            var shown = ""
            for piece in pieces {
                shown += matcher.append(piece)
                // Nothing that was shown is ever taken back.
                #expect(test.shown.utf8.starts(with: shown.utf8))
            }
            shown += matcher.finish()
            #expect(Array(shown.utf8) == Array(test.shown.utf8), "\(pieces)")
            #expect(matcher.isStopped == test.isStopped)
            if test.isStopped { #expect(matcher.append("more") == "") }
        }
    }

    @Test func onlyABeginningIsHeldBack() {
        var matcher = StopMatcher(stops: ["END", "###"])
        #expect(matcher.append("text E") == "text ")
        #expect(matcher.append("N") == "")
        #expect(matcher.append("T") == "ENT")
        #expect(matcher.append("##") == "")
        #expect(matcher.append(" ") == "## ")
        #expect(matcher.append("EN#") == "EN")
        #expect(matcher.append("##") == "")
        #expect(matcher.isStopped)
        #expect(matcher.finish() == "")
    }

    private func text(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }
}
