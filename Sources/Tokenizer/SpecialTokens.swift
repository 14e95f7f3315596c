/// What happens to the text of an added token (such as `<｜User｜>`) inside a text that is encoded.
package enum SpecialTokens: Sendable {
    /// Every added token is recognised: for text that the program itself wrote, such as a template's markers.
    case parsed
    /// Tokens marked `special` are ordinary text; the other added tokens are recognised. This is what the reference
    /// does with `encode_special_tokens`.
    case asText
    /// No added token is recognised, special or not, and no merge makes one: the ids are the ordinary byte-pair
    /// encoding of the text, which decodes to the same text. For a conversation's content: nobody can forge a turn, nor
    /// the beginning or end of thinking, with a message.
    case literal
}
