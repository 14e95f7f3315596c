import ChatTemplate
import Foundation
import TestSupport
import Testing

/// Templates run as Jinja runs them, and no further than the limits allow.
@Suite struct JinjaTests {
    private struct Snippet: Decodable {
        var template: String
        /// nil where Jinja refuses too.
        var rendered: String?
    }

    private static let conversation = [
        ChatMessage(role: .system, content: " Be brief. "), ChatMessage(role: .user, content: "Hi <b>\n\"you\" é"),
        ChatMessage(role: .assistant, content: "Yes?"), ChatMessage(role: .user, content: "a<think>b"),
    ]

    private static func rendered(_ source: String, _ messages: [ChatMessage] = conversation) throws -> String {
        try ChatTemplate(source, tokenizerConfigJSON: Array(#"{"bos_token": "<s>"}"#.utf8), markers: [])
            .render(messages).text
    }

    @Test func snippetsRenderAsJinjaRendersThem() throws {
        let file = URL(fileURLWithPath: "\(Fixtures.root)/Tests/Fixtures/chat/snippets.json")
        let snippets = try JSONDecoder().decode([Snippet].self, from: Data(contentsOf: file))
        #expect(snippets.count >= 50)
        for snippet in snippets {
            if let rendered = snippet.rendered {
                #expect(try Self.rendered(snippet.template) == rendered, "\(snippet.template)")
            } else {
                #expect(throws: ChatTemplateError.self, "\(snippet.template)") { try Self.rendered(snippet.template) }
            }
        }
    }

    @Test(arguments: [
        "{% if %}x{% endif %}", "{% if true %}x", "{{ 1 +", "{{ 'a }}", "{% for x %}{% endfor %}", "{% unknown %}",
        "{% endif %}", "{{ ) }}", "{{ a b }}", "{# no end", "{% include 'x' %}", "{% import 'x' as y %}", "{% break %}",
        "{% raw %}x", "{{ 99999999999999999999 }}", "{% set 1 = 2 %}", "{{ f(a=1, 2) }}", "{{ \"\\u12\" }}",
        "{{ a.1b }}",
        "{% extends 'base' %}", "{% macro m(1) %}{% endmacro %}", "{% call 5 %}{% endcall %}",
    ])
    func whatIsNotATemplateIsRefused(source: String) {
        let error = #expect(throws: ChatTemplateError.self) {
            try ChatTemplate(source, tokenizerConfigJSON: nil, markers: [])
        }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("line 1") == true)
    }

    @Test func errorsTellTheLine() {
        let error = #expect(throws: ChatTemplateError.self) { try Self.rendered("a\n\n{{ messages + 1 }}") }
        #expect(error?.message.contains("line 3") == true)
    }

    /// What would take for ever, or all memory, ends within seconds and with an error.
    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{{ range(9999999999) }}",
            "{{ 'x' * 9999999999 }}",
            "{% set n = namespace(s='xx') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
            "{% set n = namespace(s=['x']) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
            "{% set n = namespace(s='xx') %}{% for i in range(99) %}{% set n.s = n.s | replace('x', n.s) %}{% endfor %}",
            "{% set n = namespace(s='xx') %}{% for i in range(99) %}{% set n.s = [n.s, n.s] | tojson %}{% endfor %}",
            "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
            "{% set n = namespace(s=1) %}{% for i in range(99999) %}{% set n.s = [n.s] %}{% endfor %}{{ n.s }}",
        ])
    func greedyTemplatesAreStopped(source: String) {
        let error = #expect(throws: ChatTemplateError.self) { try Self.rendered(source) }
        #expect(error?.code == .invalidMessages)
        #expect(error?.message.contains("the template") == true)
    }

    @Test(arguments: [
        String(repeating: "(", count: 100_000), String(repeating: "{% if 1 %}", count: 100_000),
        "{{ " + String(repeating: "not ", count: 100_000) + "1 }}",
        "{{ " + String(repeating: "-", count: 100_000) + "1 }}",
        "{{ 1" + String(repeating: "+1", count: 100_000) + " }}",
        "{{ a" + String(repeating: ".a", count: 100_000) + " }}",
        "{{ a" + String(repeating: "|trim", count: 100_000) + " }}",
        "{{ " + String(repeating: "[", count: 100_000) + " }}",
        "{{ 1" + String(repeating: " if 1", count: 100_000) + " }}",
    ])
    func deepNestingIsRefused(part: String) {
        let source = part.hasPrefix("{") ? part : "{{ \(part) }}"
        let error = #expect(throws: ChatTemplateError.self) {
            try ChatTemplate(source, tokenizerConfigJSON: nil, markers: [])
        }
        #expect(error?.code == .unsupported)
    }

    @Test func aTemplateWithoutEndIsRefused() {
        let source = String(repeating: " ", count: 2 << 20)
        #expect(throws: ChatTemplateError.self) { try ChatTemplate(source, tokenizerConfigJSON: nil, markers: []) }
    }

    @Test func nothingOfTheMachineIsInReach() throws {
        for name in ["open", "self", "__import__", "cycler", "lipsum", "config", "request"] {
            #expect(try Self.rendered("{{ \(name) is defined }}") == "False")
        }
        #expect(try Self.rendered("{{ ''.__class__ is defined }}{{ messages.__len__ is defined }}") == "FalseFalse")
    }

    @Test func theDateIsToday() throws {
        let year = Calendar(identifier: .gregorian).component(.year, from: Date())
        #expect(try Self.rendered("{{ strftime_now('%Y') }}") == "\(year)")
    }

    /// A long conversation is far from the limits.
    @Test(.timeLimit(.minutes(1))) func longConversationsAreRendered() throws {
        let text = String(repeating: "Some sixteen char", count: 600)
        let messages = (0..<400).map { ChatMessage(role: $0 % 2 == 0 ? .user : .assistant, content: text) }
        let source = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content | trim + '<|end|>' }}{% endfor %}"
        #expect(try Self.rendered(source, messages).utf8.count > 400 * text.utf8.count)
    }
}
