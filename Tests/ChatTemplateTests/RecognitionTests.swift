import ChatTemplate
import Foundation
import TestSupport
import Testing

@Suite struct RecognitionTests {
    private let config: [UInt8]
    private let template: String

    init() throws {
        struct Config: Decodable {
            var chat_template: String
        }
        let data = try Data(contentsOf: URL(fileURLWithPath: "\(Fixtures.demo)/tokenizer_config.json"))
        config = [UInt8](data)
        template = try JSONDecoder().decode(Config.self, from: data).chat_template
    }

    @Test func theDemoTemplateIsKnown() throws {
        let known = try ChatTemplate(recognizing: template, tokenizerConfigJSON: config)
        #expect(known.dialect == .plain)
        #expect(known.markers.prefix(2) == ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"])
    }

    @Test func lineEndsDontMatter() throws {
        let windows = template.replacingOccurrences(of: "\n", with: "\r\n") + "\n"
        #expect(try ChatTemplate(recognizing: windows, tokenizerConfigJSON: config).dialect == .plain)
    }

    @Test func anotherTemplateIsRefused() {
        for other in ["", "{{ messages }}", template + "x", template.replacingOccurrences(of: "think", with: "thunk")] {
            let error = #expect(throws: ChatTemplateError.self) {
                try ChatTemplate(recognizing: other, tokenizerConfigJSON: config)
            }
            #expect(error?.code == .unknown)
            #expect(error?.message.contains("/v1/completions") == true)
        }
    }

    @Test func noTemplateIsRefused() {
        let error = #expect(throws: ChatTemplateError.self) {
            try ChatTemplate(recognizing: nil, tokenizerConfigJSON: config)
        }
        #expect(error?.code == .missing)
    }

    @Test func theMarkersMustBeNamed() {
        for json: [UInt8]? in [nil, Array("{}".utf8), Array("[".utf8), Array(#"{"bos_token": 3}"#.utf8)] {
            let error = #expect(throws: ChatTemplateError.self) {
                try ChatTemplate(recognizing: template, tokenizerConfigJSON: json)
            }
            #expect(error?.code == .malformed)
        }
    }

    @Test func aMarkerMayBeAnObject() throws {
        let json = #"{"bos_token": {"content": "B", "special": true}, "eos_token": "E"}"#
        let known = try ChatTemplate(recognizing: template, tokenizerConfigJSON: Array(json.utf8))
        let prompt = try known.render([], thinking: false, addGenerationPrompt: false)
        #expect(prompt.pieces == [.control("B")])
    }
}
