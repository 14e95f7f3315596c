import ChatTemplate
import Testing

@Suite struct ReasoningSplitterTests {
    /// All reasoning and all content of an answer that arrives in these parts.
    private func split(_ parts: [String], insideReasoning: Bool = true) -> (reasoning: String, content: String) {
        var splitter = ReasoningSplitter(insideReasoning: insideReasoning)
        var result = (reasoning: "", content: "")
        for segment in parts.flatMap({ splitter.append($0) }) + splitter.finish() {
            switch segment {
            case .reasoning(let text): result.reasoning += text
            case .content(let text): result.content += text
            }
        }
        return result
    }

    /// Of models that open their reasoning themselves, and may not.
    @Test(arguments: [
        ("<think>plan</think>story", "plan", "story"), ("\n<think>\nplan</think>\n\nstory", "\nplan", "\n\nstory"),
        ("story <think>x</think>", "", "story <think>x</think>"), (" \n ", "", " \n "), (" <thin", "", " <thin"),
        ("<thing>", "", "<thing>"), ("<think>", "", ""), ("", "", ""), ("</think>x", "", "</think>x"),
    ])
    func aReasoningMayBeOpened(_ answer: String, _ reasoning: String, _ content: String) {
        let scalars = Array(answer.unicodeScalars)
        for place in 0...scalars.count {
            var splitter = ReasoningSplitter(insideReasoning: false, mayBegin: true)
            var result = (reasoning: "", content: "")
            let parts = [scalars[..<place], scalars[place...]].map { String(String.UnicodeScalarView($0)) }
            for segment in parts.flatMap({ splitter.append($0) }) + splitter.finish() {
                switch segment {
                case .reasoning(let text): result.reasoning += text
                case .content(let text): result.content += text
                }
            }
            #expect(result.reasoning == reasoning && result.content == content, "split at \(place)")
        }
    }

    private static let answers: [(whole: String, reasoning: String, content: String)] = [
        ("plan</think>story", "plan", "story"),
        ("</think>story", "", "story"),
        ("plan</think>", "plan", ""),
        ("plan", "plan", ""),
        ("", "", ""),
        ("a < b </ c </thin> <</think>x", "a < b </ c </thin> <", "x"),
        ("one</think>two</think>three", "one", "two</think>three"),
        ("cut </thi", "cut </thi", ""),
        ("é😀</think>\u{301}ß", "é😀", "\u{301}ß"),
        ("<think>again</think>so", "<think>again", "so"),
    ]

    @Test(arguments: answers.indices)
    func everyCutGivesTheSame(index: Int) {
        let (whole, reasoning, content) = Self.answers[index]
        let scalars = Array(whole.unicodeScalars)
        func text(_ range: Range<Int>) -> String {
            var text = ""
            text.unicodeScalars.append(contentsOf: scalars[range])
            return text
        }
        var cuts = [[whole], scalars.indices.map { text($0..<$0 + 1) }]
        for first in 0...scalars.count {
            for second in first...scalars.count {
                cuts.append([text(0..<first), text(first..<second), text(second..<scalars.count)])
            }
        }
        for parts in cuts {
            let result = split(parts)
            #expect(result.reasoning.utf8.elementsEqual(reasoning.utf8), "\(parts)")
            #expect(result.content.utf8.elementsEqual(content.utf8), "\(parts)")
        }
    }

    @Test func onlyAPossibleMarkerIsKeptBack() {
        var splitter = ReasoningSplitter(insideReasoning: true)
        #expect(splitter.append("plan <") == [.reasoning("plan ")])
        #expect(splitter.append("/thin") == [])
        #expect(splitter.append("g") == [.reasoning("</thing")])
        #expect(splitter.append("</think>a") == [.content("a")])
        #expect(splitter.append("</thi") == [.content("</thi")])
        #expect(splitter.finish() == [])
    }

    @Test func outsideEverythingIsContent() {
        #expect(split(["a</th", "ink>b"], insideReasoning: false) == ("", "a</think>b"))
    }
}
