// Package chart turns the events of a run into pictures.
//
// A [Figure] says what is drawn and nothing about how: series over axes, each with
// a sentence that explains it. [Loss] makes one from events:
//
//	fig := chart.Loss(chart.Curve{Name: "lora r=16", Events: events})
//
// and every reader gets the form that he can show:
//
//	fig.HTML()        // a snippet for a notebook output: interactive, needs no network
//	fig.Page()        // the same as a page of its own
//	fig.SVG()         // a static picture, readable on light and dark ground
//	fig.PNG()         // the same in pixels
//	fig.Text()        // a line a series for a terminal
//	fig.Option()      // the ECharts option as JSON, for a front end that has ECharts
//
// Interactive charts are drawn by Apache ECharts, which is embedded (folder
// echarts) and carried by each chart in compressed form: nothing is fetched from
// anywhere, a chart that is saved with a notebook shows years later. The snippet
// holds the static picture as well. Where scripts do not run (a notebook that is
// not trusted, a preview on a code host, a mail) that picture is what one sees.
//
// Several runs are compared by overlaying them: pass several curves.
package chart
