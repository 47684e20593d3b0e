package chart

func (g *Graph) SVG(all bool) []byte { return nil }
